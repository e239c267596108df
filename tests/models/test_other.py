"""Graphs, sound, generators and agents: against twins, and the formulas around the networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as TF

import ambos as am
from ambos import models
from ambos.core.errors import AmbosError, ArgumentError, ShapeError
from ambos.models.actor_critic import advantages, ppo_loss
from ambos.models.autoencoder import vae_loss
from ambos.models.value_network import td_loss
from ambos.models.wave_net import mu_law_decode, mu_law_encode
from tests.models.oracle import compare, compare_results
from tests.models.other_twins import SMALL

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("name", SMALL)
def test_results_and_gradients(name: str) -> None:
    if name == "ddpm":  # dear to compile
        assert compare_results(SMALL[name]) < 1e-5
        return
    found = compare(SMALL[name], SMALL[name].training)
    assert found.output < 1e-5, found
    assert found.gradient < 1e-4, found


def test_diffusion_steps_are_those_of_the_paper() -> None:
    """Equations 7 and 11, in float64."""
    diffusion = models.Diffusion(50)
    betas = np.linspace(1e-4, 0.02, 50)
    kept = np.cumprod(1 - betas)
    x, noise, fresh = RANDOM.standard_normal((3, 2, 1, 2, 2)).astype(np.float32)
    for time in (49, 10, 1, 0):
        before = kept[time - 1] if time else 1.0
        clean = np.clip((x - np.sqrt(1 - kept[time]) * noise) / np.sqrt(kept[time]), -1, 1)
        mean = (np.sqrt(before) * betas[time] * clean
                + np.sqrt(1 - betas[time]) * (1 - before) * x) / (1 - kept[time])  # fmt: skip
        spread = np.sqrt(betas[time] * (1 - before) / (1 - kept[time]))
        found = diffusion.step(*map(am.tensor, (noise, time, x, fresh)))
        assert np.allclose(found.numpy(), mean + spread * fresh, atol=1e-5)
    noisy = diffusion.add_noise(am.tensor(x), am.tensor(noise), am.tensor([49, 3]))
    part = kept[[49, 3]][:, None, None, None]
    assert np.allclose(noisy.numpy(), np.sqrt(part) * x + np.sqrt(1 - part) * noise, atol=1e-6)


def test_who_knows_the_noise_samples_the_image() -> None:
    image = am.tensor(RANDOM.uniform(-0.9, 0.9, (2, 3, 4, 4)).astype(np.float32))
    diffusion = models.Diffusion(20)
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 20))
    left, lost = (am.tensor(np.sqrt(part).astype(np.float32)) for part in (kept, 1 - kept))

    def net(x: am.Tensor, time: am.Tensor) -> am.Tensor:
        return (x - left[time][:, None, None, None] * image) / lost[time][:, None, None, None]

    assert np.allclose(diffusion.sample(net, image.shape).numpy(), image.numpy(), atol=1e-4)
    unet = models.ddpm_unet(block_out_channels=[4, 4], layers_per_block=1, attention=[False, True],
                            norm_num_groups=2)  # fmt: skip
    assert diffusion.loss(unet, image).shape == ()


def test_sound_is_generated_from_what_came_before() -> None:
    am.manual_seed(0)
    net = models.wavenet(classes=8, layers=2, stacks=1, residual_channels=4, skip_channels=16)
    x = RANDOM.integers(0, 8, (1, 12))
    later = x.copy()
    later[0, 7:] = (later[0, 7:] + 3) % 8
    same = net(am.tensor(x)).numpy() == net(am.tensor(later)).numpy()
    assert same[..., :7].all()
    assert not same[..., 7:].all()
    assert net.receptive_field == 2 + 1 + 2
    am.manual_seed(3)
    found = net.generate(9, batch=2)
    assert found.shape == (2, 9)
    assert found.dtype == am.int64
    am.manual_seed(3)
    assert net.generate(9, batch=2).tolist() == found.tolist()
    sure = am.tensor(np.arange(256))
    assert mu_law_encode(mu_law_decode(sure)).tolist() == sure.tolist()


def test_losses_of_agents_and_autoencoder() -> None:
    value, after = RANDOM.standard_normal((2, 5, 3)).astype(np.float32)
    reward, old, gain, back, worth = RANDOM.standard_normal((5, 5)).astype(np.float32)
    done, action = np.float32([0, 1, 0, 0, 1]), np.array([0, 2, 1, 1, 0])
    taken = torch.tensor(value).gather(1, torch.tensor(action)[:, None])[:, 0]
    wanted = torch.tensor(reward) + 0.99 * (1 - torch.tensor(done)) * torch.tensor(after).amax(1)
    found = td_loss(*map(am.tensor, (value, action, reward, done, after)))
    assert found.item() == pytest.approx(TF.smooth_l1_loss(taken, wanted).item(), rel=1e-5)

    log_probs = torch.tensor(value).log_softmax(-1)
    ratio = (log_probs.gather(1, torch.tensor(action)[:, None])[:, 0] - torch.tensor(old)).exp()
    scaled = torch.tensor(gain)
    lost = torch.max(-scaled * ratio, -scaled * ratio.clamp(0.8, 1.2)).mean()
    entropy = torch.distributions.Categorical(logits=torch.tensor(value)).entropy().mean()
    missed = 0.5 * TF.mse_loss(torch.tensor(worth), torch.tensor(back))
    found = ppo_loss(*map(am.tensor, (value, worth, action, old, gain, back)))
    assert found.item() == pytest.approx((lost - 0.01 * entropy + 0.5 * missed).item(), rel=1e-4)

    expected, later, following = np.zeros(5), 0.0, 0.25
    for i in reversed(range(5)):
        surprise = reward[i] + 0.99 * (1 - done[i]) * following - worth[i]
        later = expected[i] = surprise + 0.99 * 0.95 * (1 - done[i]) * later
        following = worth[i]
    found = advantages(*map(am.tensor, (reward, worth, done, np.float32(0.25))))
    assert np.allclose(found.numpy(), expected, atol=1e-5)

    made, real = RANDOM.uniform(0.1, 0.9, (2, 4, 6)).astype(np.float32)
    mean, log_var = RANDOM.standard_normal((2, 4, 2)).astype(np.float32)
    normal = torch.distributions.Normal
    codes = normal(torch.tensor(mean), torch.tensor(log_var).mul(0.5).exp())
    apart = torch.distributions.kl_divergence(codes, normal(0.0, 1.0)).sum()
    missed = TF.binary_cross_entropy(torch.tensor(made), torch.tensor(real), reduction="sum")
    found = vae_loss(*map(am.tensor, (made, real, mean, log_var)))
    assert found.item() == pytest.approx((missed + apart).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: models.gcn(4, 8)(am.ones(3, 4), am.ones(3, 2)), ShapeError, r"\(2, edges\)"),
        (lambda: models.gat(4, 9, heads=2), ArgumentError, "heads=2"),
        (lambda: models.Diffusion(0), ArgumentError, "at least 1"),
        (lambda: models.wavenet(classes=4, layers=1).generate(0), ArgumentError, "at least 1"),
    ],
)
def test_mistakes_are_told(call, error: type[AmbosError], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
