"""The GPT of `gpt.py` says one token at a time: keys and values of earlier tokens are cached.

A call takes the token at the next place (FIRST to LAST, then again from FIRST), puts its key and
value into the caches and returns the logits. Frameworks whose shapes are compiled in attend to the
whole buffer under a mask; eager PyTorch attends to the filled part.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np

from bench.models import gpt
from bench.models.gpt import TOKENS
from bench.workload import Call, Data

FIRST, LAST = 128, 192


def with_ambos(data: Data, jit: bool = False) -> Call:
    import ambos as am
    from bench.models.ambos_lane import F, load, nn

    net = load(gpt.module(nn, F), data).eval()
    keys, values = ([am.tensor(cache) for cache in data[name]] for name in ("keys", "values"))
    token = am.tensor(data["token"])
    places = cycle([am.tensor(np.array([[p]])) for p in range(FIRST, LAST)])
    order, attention = am.tensor(np.arange(TOKENS)), gpt.attention_of(F)

    def step(token: Any, place: Any) -> Any:
        at, filled = place[0], order <= place

        def attend(layer: int, q: Any, k: Any, v: Any) -> Any:
            keys[layer][:, :, at], values[layer][:, :, at] = k, v
            return attention(q, keys[layer], values[layer], attn_mask=filled)

        return net(token, place, attend)

    run = am.jit(step) if jit else step

    def call() -> Any:
        with am.no_grad():
            logits = run(token, next(places))
            am.evaluate(logits)
        return logits

    return call


def with_torch(data: Data) -> Call:
    import torch

    from bench.models.torch_lane import F, load, nn

    net = load(gpt.module(nn, F), data).eval()
    keys, values = (torch.from_numpy(data[name].copy()) for name in ("keys", "values"))
    token = torch.from_numpy(data["token"])
    places = cycle([(p, torch.tensor([[p]])) for p in range(FIRST, LAST)])

    def call() -> Any:
        at, place = next(places)

        def attend(layer: int, q: Any, k: Any, v: Any) -> Any:
            keys[layer][:, :, at : at + 1], values[layer][:, :, at : at + 1] = k, v
            k, v = keys[layer][:, :, : at + 1], values[layer][:, :, : at + 1]
            return F.scaled_dot_product_attention(q, k, v)

        with torch.inference_mode():
            return net(token, place, attend)

    return call


def with_torch_compile(data: Data) -> Call:
    import torch

    from bench.models.torch_lane import F, load, nn

    net = load(gpt.module(nn, F), data).eval()
    keys, values = (torch.from_numpy(data[name].copy()) for name in ("keys", "values"))
    token, order = torch.from_numpy(data["token"]), torch.arange(TOKENS)
    places = cycle([torch.tensor([[p]]) for p in range(FIRST, LAST)])

    @torch.compile(options={"freezing": True})
    def step(token: Any, place: Any) -> Any:
        def attend(layer: int, q: Any, k: Any, v: Any) -> Any:
            keys[layer].index_copy_(2, place[0], k)
            values[layer].index_copy_(2, place[0], v)
            seen = order <= place
            return F.scaled_dot_product_attention(q, keys[layer], values[layer], attn_mask=seen)

        return net(token, place, attend)

    def call() -> Any:
        with torch.no_grad():
            return step(token, next(places))

    return call


def with_jax(data: Data) -> Call:
    import jax
    import jax.numpy as jnp

    from bench.models.jax_lane import Kit
    from bench.models.weights import channels_last, of

    weights = jax.tree.map(jnp.asarray, channels_last(of(data)))
    caches = tuple([jnp.asarray(cache) for cache in data[name]] for name in ("keys", "values"))
    places = cycle([jnp.int32(p) for p in range(FIRST, LAST)])

    def step(weights: Any, caches: Any, token: Any, place: Any) -> Any:
        keys, values = map(list, caches)
        hidden = jnp.where(jnp.arange(TOKENS) <= place, 0.0, -jnp.inf)

        def attend(layer: int, q: Any, k: Any, v: Any) -> Any:
            at = (0, 0, place, 0)
            keys[layer] = jax.lax.dynamic_update_slice(keys[layer], k, at)
            values[layer] = jax.lax.dynamic_update_slice(values[layer], v, at)
            scores = q @ keys[layer].transpose(0, 1, 3, 2) * q.shape[-1] ** -0.5
            return jax.nn.softmax(scores + hidden) @ values[layer]

        return gpt.forward(Kit(weights), token, place, attend), (keys, values)

    run = jax.jit(step, donate_argnums=1)
    state, token = [caches], jnp.asarray(data["token"])

    def call() -> Any:
        logits, state[0] = run(weights, state[0], token, next(places))
        return logits.block_until_ready()

    return call


def with_tensorflow(data: Data) -> Call:
    import tensorflow as tf

    from bench.models.tensorflow_lane import Kit, variables

    weights = variables(data)
    keys, values = ([tf.Variable(cache) for cache in data[name]] for name in ("keys", "values"))
    token = tf.constant(data["token"])
    places = cycle([tf.constant(p) for p in range(FIRST, LAST)])

    @tf.function(jit_compile=True)
    def step(token: Any, place: Any) -> Any:
        order = tf.range(TOKENS)
        here = tf.reshape(order == place, (TOKENS, 1))
        hidden = tf.where(order <= place, 0.0, -np.inf)

        def attend(layer: int, q: Any, k: Any, v: Any) -> Any:
            filled = keys[layer].assign(tf.where(here, k, keys[layer]))
            known = values[layer].assign(tf.where(here, v, values[layer]))
            scores = tf.matmul(q, filled, transpose_b=True) * q.shape[-1] ** -0.5
            return tf.matmul(tf.nn.softmax(scores + hidden), known)

        return gpt.forward(Kit(weights), token, place, attend)

    return lambda: step(token, next(places)).numpy()
