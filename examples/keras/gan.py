"""A GAN with a `train_step` of its own draws handwritten digits.

python examples/keras/gan.py [--mnist FOLDER] [--epochs 30] [--picture drawn.png]

The digits are those inside ambos, 8x8, or MNIST (downloaded into the folder unless it is there).
"""

import argparse

import numpy as np
from PIL import Image

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--mnist", metavar="FOLDER")
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--picture", default="drawn.png")
options = parser.parse_args()
am.manual_seed(0)

if options.mnist:
    (x_train, _), (x_test, _) = am.data.mnist(options.mnist)
    images = np.concatenate([x_train, x_test]).astype("float32") / 255
else:
    images, _ = am.data.digits()
start, width, latent_dim = images.shape[-1] // 4, 128 if options.mnist else 32, 16

discriminator = nn.Sequential(
    nn.Conv2d(1, width, 4, stride=2, padding=1),
    nn.LeakyReLU(0.2),
    nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
    nn.LeakyReLU(0.2),
    nn.Flatten(),
    nn.Linear(2 * width * start * start, 128),
    nn.LeakyReLU(0.2),
    nn.Linear(128, 1),
)
generator = nn.Sequential(
    nn.Linear(latent_dim, width * start * start),
    nn.LeakyReLU(0.2),
    nn.Unflatten(1, (width, start, start)),
    nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
    nn.BatchNorm2d(width),
    nn.LeakyReLU(0.2),
    nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
    nn.BatchNorm2d(width),
    nn.LeakyReLU(0.2),
    nn.Conv2d(width, 1, 3, padding=1),
    nn.Sigmoid(),
)


class GAN(am.Model):
    def __init__(self, discriminator, generator):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator

    def compile(self, d_optimizer, g_optimizer, loss):
        super().compile(loss=loss)
        self.d_optimizer, self.g_optimizer, self.loss = d_optimizer, g_optimizer, loss

    def draw(self, count):
        return self.generator(am.randn(count, latent_dim))

    def train_step(self, real):
        count = real.shape[0]

        # The discriminator learns to answer 1 for what was drawn and 0 for what is real.
        seen = am.concatenate([self.draw(count).detach(), real])
        labels = am.concatenate([am.ones(count, 1), am.zeros(count, 1)])
        d_loss = self.loss(self.discriminator(seen), labels.lerp(am.rand_like(labels), 0.1))
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()

        # The generator learns to draw what the discriminator takes for real.
        g_loss = self.loss(self.discriminator(self.draw(count)), am.zeros(count, 1))
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        return {"d_loss": d_loss, "g_loss": g_loss}


class Drawing(am.Callback):
    """A row of ten digits drawn after each tenth epoch."""

    def __init__(self):
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        if epoch % 10 == 9:
            with am.no_grad():
                self.rows.append(np.concatenate(list(self.model.draw(10).numpy()[:, 0]), 1))


def distance(drawn, real):
    """How far drawn pixels are from real ones in mean and covariance (Frechet's distance)."""
    (mean, spread), (mean_real, spread_real) = (
        (rows.mean(0), np.cov(rows.T))
        for rows in (each.reshape(len(each), -1) for each in (drawn, real))
    )
    shared = np.sqrt(np.linalg.eigvals(spread @ spread_real).astype(complex)).real.sum()
    return float(((mean - mean_real) ** 2).sum() + np.trace(spread + spread_real) - 2 * shared)


gan, drawing = GAN(discriminator, generator), Drawing()
rate = {"lr": 1e-3, "betas": (0.5, 0.999)}
gan.compile(
    d_optimizer=optim.Adam(discriminator.parameters(), **rate),
    g_optimizer=optim.Adam(generator.parameters(), **rate),
    loss=F.binary_cross_entropy_with_logits,
)
with am.no_grad():
    before = distance(gan.draw(1000).numpy(), images)
gan.fit(images, batch_size=64, epochs=options.epochs, callbacks=[drawing])

with am.no_grad():
    after = distance(gan.draw(1000).numpy(), images)
if drawing.rows:
    Image.fromarray((255 * np.concatenate(drawing.rows)).astype("uint8")).save(options.picture)
mean = distance(np.broadcast_to(images.mean(0), images.shape), images)
pixels = distance(np.random.default_rng(0).permuted(images, axis=0), images)
half = distance(images[::2], images[1::2])
print(f"distance to real digits: {before:.2f} untrained, {after:.2f} trained")
print(f"{mean:.2f} of their mean, {pixels:.2f} of independent pixels, {half:.2f} of halves")
