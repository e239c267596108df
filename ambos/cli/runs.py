"""A run: its folder, and what the copy of the file in it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ambos.cli.config import Config
from ambos.cli.lines import Place
from ambos.cli.making import at_fault, chosen, imported, made, parameters_of
from ambos.cli.sources import Examples, examples_of
from ambos.core.errors import ArgumentError, FormatError, suggest
from ambos.core.version import __version__

CONFIG, FACTS, WEIGHTS, CHECKPOINTS = "config.toml", "run.json", "model.safetensors", "checkpoints"
PLACES = ("filepath", "filename", "log_dir", "backup_dir")  # of callbacks: inside of the run folder


class Run:
    """A folder with `config.toml`, `run.json`, `checkpoints`, `history.csv` and
    `model.safetensors`."""

    def __init__(self, folder: Path, config: Config, facts: dict[str, Any]) -> None:
        self.folder, self.config, self.facts = folder, config, facts
        self.epochs_begun: list[int] = []  # by this process

    @classmethod
    def opened(cls, folder: Path) -> Run:
        """The run in a folder.

        Errors: ArgumentError where there is none, FormatError where it is damaged.
        """
        if not (folder / CONFIG).is_file():
            raise ArgumentError(
                f"there is no run in {str(folder)!r}; need the folder that `ambos train` wrote "
                f"(with {CONFIG}){_near(folder)}"
            )
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            base = Path(facts["base"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise FormatError(f"{folder / FACTS} is damaged: {error}; need the one that "
                              "`ambos train` wrote") from error  # fmt: skip
        config = Config(folder / CONFIG, base if base.is_dir() else Path.cwd())
        return cls(folder, config, facts)

    def _write(self, name: str, text: str) -> None:
        """As a whole or not at all."""
        new = self.folder / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.folder / name)

    def refuse_old(self) -> None:
        """Protect what another training has left; one that failed at once has left nothing.

        Errors: ArgumentError.
        """
        if (self.folder / WEIGHTS).exists() or any((self.folder / CHECKPOINTS).glob("*")):
            raise ArgumentError(
                f"{str(self.folder)!r} has a run already; need `ambos resume {self.folder}` to go "
                "on with it, or another --output"
            )

    def write(self) -> None:
        """Make the folder, with the file and the facts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(FACTS, json.dumps(self.facts, indent=2) + "\n")
        if self.config.path != self.folder / CONFIG:
            self._write(CONFIG, self.config.text)

    @property
    def is_begun(self) -> bool:
        """Is there anything to go on with?"""
        return (self.folder / CONFIG).is_file()

    @property
    def epochs(self) -> int:
        """How long to train: what the command line said, or the file."""
        return int(self.facts.get("epochs") or self.config.get("epochs", 1))

    # What the file makes

    def model(self) -> Any:
        """The model with fresh weights, compiled."""
        import ambos as am

        config = self.config
        am.manual_seed(config.get("seed", 0))
        name, settings = config.named(("model",), config["model"])
        known = am.models.list_models()
        make = chosen(config, ("model",), "model", name, known, am.models.get_model_builder)
        found = made(config, ("model",), make, settings)
        if not isinstance(found, am.nn.Module):
            raise config.wrong(
                ("model", "name"), f"{name} gives {type(found).__name__}; need a module"
            )
        return found if isinstance(found, am.Model) else am.Model(found)

    def compile(self, model: Any) -> None:
        """Settle optimizer, schedule, loss and metrics."""
        config, optimizer = self.config, self._optimizer()
        schedule = self._schedule(model, optimizer)
        metrics = [self._metric(place, one) for place, one in enumerate(config.get("metrics", []))]
        loss = config["loss"]
        if ":" in loss:
            loss = imported(config, ("loss",), loss)
        try:
            model.compile(optimizer, loss, metrics, schedule=schedule)
        except ArgumentError as error:
            raise config.wrong(("loss",), error) from error

    def _optimizer(self) -> Any:
        from ambos import optim

        place = ("optimizer",)
        name, settings = self.config.named(place, self.config.get("optimizer", "adam"))
        name = name if ":" in name else name.lower()
        rule = chosen(self.config, place, "optimizer", name, optim.BY_NAME, optim.BY_NAME.get)
        return made(self.config, place, rule, settings)

    def _schedule(self, model: Any, optimizer: Any) -> Any:
        from ambos.optim import lr_scheduler

        if self.config.get("schedule") is None:
            return None
        place = ("schedule",)
        name, settings = self.config.named(place, self.config["schedule"])
        known = [one for one in lr_scheduler.__all__ if one[0].isupper() and one != "LRScheduler"]
        rule = chosen(
            self.config, place, "schedule", name, known, lambda one: getattr(lr_scheduler, one)
        )
        optimizer.attach(model.named_parameters())  # a schedule turns rates that are there
        return made(self.config, place, rule, settings, optimizer)

    def _metric(self, number: int, given: Any) -> Any:
        from ambos.train.metrics import names

        place = ("metrics", number)
        name, settings = self.config.named(place, given)
        if ":" in name:
            found = imported(self.config, place, name)
            is_class = isinstance(found, type)
            return made(self.config, place, found, settings) if is_class else found
        known = [*sorted(names.NAMES), *names.CLASSES, *names.ALIASES]
        make = chosen(self.config, place, "metric", name, known, names.maker)
        found = made(self.config, place, make, settings)
        return found if settings else name  # which files of models can hold

    def _named_callbacks(self) -> dict[Place, tuple[str, dict[str, Any]]]:
        places = {("callbacks", n): one for n, one in enumerate(self.config.get("callbacks", []))}
        return {place: self.config.named(place, given) for place, given in places.items()}

    def callbacks(self) -> list[Any]:
        """Those of the file, and the one that writes `history.csv`."""
        from ambos.train.callbacks import CSVLogger, LambdaCallback
        from ambos.viz import callbacks

        begun = LambdaCallback(on_epoch_begin=lambda epoch, logs: self.epochs_begun.append(epoch))
        found: list[Any] = [begun]
        for place, (name, settings) in self._named_callbacks().items():
            known = [one for one in callbacks.__all__ if one not in ("Callback", "CallbackList")]
            make = chosen(
                self.config, place, "callback", name, known, lambda one: getattr(callbacks, one)
            )
            found.append(made(self.config, place, make, settings | self._inside(make, settings)))
        return [*found, CSVLogger(self.folder / "history.csv")]

    def _inside(self, make: Any, settings: dict[str, Any]) -> dict[str, str]:
        """What a callback writes to, also where the file does not say so."""
        usual = {one.name: one.default for one in parameters_of(make)} if callable(make) else {}
        given = {key: settings.get(key, usual[key]) for key in PLACES if key in usual}
        return {key: str(self.folder / place) for key, place in given.items()
                if isinstance(place, str)}  # fmt: skip

    def examples(self) -> Examples:
        """The data."""
        return examples_of(self.config)

    def features(self) -> list[str] | None:
        """The columns that the model was trained with, if they have names."""
        known = "features" in self.facts  # since runs say so
        found: list[str] | None = self.facts["features"] if known else self.examples().features
        return found

    def trained(self) -> Any:
        """The model with the weights that training left, compiled.

        Errors: ArgumentError where there are none yet.
        """
        if not (self.folder / WEIGHTS).is_file():
            raise ArgumentError(
                f"{str(self.folder)!r} has no {WEIGHTS} yet; need `ambos resume {self.folder}` to "
                "finish its training"
            )
        model = self.model()
        model.load(self.folder / WEIGHTS)
        self.compile(model)
        return model

    def fit(self, verbose: Any) -> Any:
        """Train, or train on from the newest checkpoint; leave weights and history."""
        config, examples = self.config, self.examples()
        model = self.model()
        self.compile(model)
        if not model.takes_nan:
            examples.require_finite(config)
        wanted = ("shuffle", "class_weight", "accumulate", "clip_norm", "precision",
                  "validation_split")  # fmt: skip
        arguments = {key: config[key] for key in wanted if config.get(key) is not None}
        if "y" in examples.train and config.get("batch_size"):
            arguments["batch_size"] = config["batch_size"]
        callbacks = self.callbacks()
        self.facts |= {"classes": examples.classes, "features": examples.features}
        self.write()
        try:
            history = model.fit(
                **examples.train, epochs=self.epochs, verbose=verbose, callbacks=callbacks,
                resume=self.folder / CHECKPOINTS, **arguments,
            )  # fmt: skip
        except ArgumentError as error:
            for key in arguments:
                if error.message.startswith(f"fit: {key} "):
                    raise config.wrong((key,), error) from error
            for place, (name, settings) in self._named_callbacks().items():
                if error.message.startswith(f"{name.rpartition(':')[2]}: "):
                    raise config.wrong(at_fault(place, settings, error.message), error) from error
            raise
        model.save(self.folder / WEIGHTS, include_optimizer=False)
        return history


def fresh(path: Path, output: Path | None, epochs: int | None) -> Run:
    """The run that a file describes; nothing is written yet.

    Errors: ArgumentError.
    """
    config = Config(path, Path.cwd())
    folder = output or Path(config.get("output", f"runs/{path.stem}"))
    facts = {"ambos": __version__, "base": str(Path.cwd()), "epochs": epochs}
    run = Run(folder, config, facts)
    run.refuse_old()
    return run


def _near(folder: Path) -> str:
    """Which run may be meant: one that this is in, one in it, or one of a similar name."""
    if (folder.parent / CONFIG).is_file():
        return f". Did you mean {str(folder.parent)!r}?"
    inside = sorted(str(found.parent) for found in folder.glob(f"*/{CONFIG}"))
    if inside:
        return f". Did you mean one of {', '.join(inside)}?"
    beside = (found.parent for found in folder.parent.glob(f"*/{CONFIG}"))
    alike = sorted(str(one) for one in beside if suggest(folder.name, [one.name]))
    if len(alike) > 1:
        return f". Did you mean one of {', '.join(alike)}?"
    return f". Did you mean {alike[0]!r}?" if alike else ""
