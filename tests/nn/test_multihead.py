"""multi_head_attention_forward against torch: weights, masks, added keys, separate projections."""

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(8)
WIDTH, HEADS, BATCH, QUERIES, KEYS = 6, 2, 3, 4, 5
SEEN = np.triu(np.ones((QUERIES, KEYS), bool), 2)  # True: left out
CAUSAL = np.triu(np.ones((QUERIES, KEYS), bool), 1)
PADDED = np.arange(KEYS) >= np.array([5, 3, 4])[:, None]


def array(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def arguments(**changes):
    return {
        "query": array(QUERIES, BATCH, WIDTH), "key": array(KEYS, BATCH, WIDTH),
        "value": array(KEYS, BATCH, WIDTH), "embed_dim_to_check": WIDTH, "num_heads": HEADS,
        "in_proj_weight": array(3 * WIDTH, WIDTH), "in_proj_bias": array(3 * WIDTH),
        "bias_k": None, "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0,
        "out_proj_weight": array(WIDTH, WIDTH), "out_proj_bias": array(WIDTH),
    } | changes  # fmt: skip


def compare(given):
    """Both results, and the gradients of everything floating."""
    sides = []
    theirs = torch.nn.functional.multi_head_attention_forward
    for make, function in ((am.tensor, F.multi_head_attention_forward), (torch.tensor, theirs)):
        tensors = {}
        for name, value in given.items():
            if isinstance(value, np.ndarray):
                value = make(value, requires_grad=value.dtype == np.float32)
            tensors[name] = value
        sides.append((function(**tensors), tensors))
    ((y, share), mine), ((ty, wanted), other) = sides
    np.testing.assert_allclose(y.numpy(), ty.detach(), rtol=1e-4, atol=1e-5)
    assert (share is None) == (wanted is None)
    if share is not None:
        np.testing.assert_allclose(share.numpy(), wanted.detach(), rtol=1e-4, atol=1e-6)
    seed = array(*y.shape)
    y.backward(am.tensor(seed))
    ty.backward(torch.tensor(seed))
    for name, value in given.items():
        if isinstance(value, np.ndarray) and other[name].grad is not None:
            np.testing.assert_allclose(
                mine[name].grad.numpy(), other[name].grad, rtol=1e-3, atol=1e-4, err_msg=name
            )


SEPARATE = {
    "key": array(KEYS, BATCH, 3), "value": array(KEYS, BATCH, 2), "in_proj_weight": None,
    "use_separate_proj_weight": True, "q_proj_weight": array(WIDTH, WIDTH),
    "k_proj_weight": array(WIDTH, 3), "v_proj_weight": array(WIDTH, 2),
}  # fmt: skip
ADDED = {"bias_k": array(1, 1, WIDTH), "bias_v": array(1, 1, WIDTH), "add_zero_attn": True}


@pytest.mark.parametrize("changes", [
    {"attn_mask": SEEN}, {"need_weights": False, "attn_mask": CAUSAL, "is_causal": True},
    {"attn_mask": array(BATCH * HEADS, QUERIES, KEYS),
     "key_padding_mask": np.where(PADDED, -2.0, 0.0).astype(np.float32)},
    {"need_weights": False, "key_padding_mask": PADDED, "in_proj_bias": None},
    {"average_attn_weights": False, **SEPARATE},
    {"key_padding_mask": PADDED, "attn_mask": SEEN, **ADDED},
    {"static_k": array(BATCH * HEADS, 7, 3), "static_v": array(BATCH * HEADS, 7, 3)},
], ids=["mask", "fused", "both masks", "padding", "separate", "added", "static"])  # fmt: skip
def test_agrees_with_torch(changes):
    compare(arguments(**changes))


def test_without_a_batch():
    compare(arguments(
        query=array(QUERIES, WIDTH), key=array(KEYS, WIDTH), value=array(KEYS, WIDTH),
        key_padding_mask=PADDED[1],
    ))  # fmt: skip


def test_a_query_without_keys_gives_the_bias_of_the_output():
    everything = np.ones((QUERIES, KEYS), bool)
    given = {k: am.tensor(v) if isinstance(v, np.ndarray) else v
             for k, v in arguments(attn_mask=everything).items()}  # fmt: skip
    y, share = F.multi_head_attention_forward(**given)
    assert not share.numpy().any()
    np.testing.assert_array_equal(y.numpy()[0, 0], given["out_proj_bias"].numpy())


@pytest.mark.parametrize(("change", "error", "says"), [
    ({"num_heads": 4}, ArgumentError, "need a divisor"),
    ({"embed_dim_to_check": 8}, ShapeError, "need embed_dim_to_check = 8"),
    ({"key": array(KEYS, 2, WIDTH)}, ShapeError, "as many keys as values"),
    ({"in_proj_weight": array(WIDTH, WIDTH)}, ShapeError, "need 18 rows"),
    ({"in_proj_weight": None}, ArgumentError, "a projection is missing"),
    ({"attn_mask": SEEN.T}, ShapeError, r"need \(4, 5\)"),
    ({"key_padding_mask": PADDED[:2]}, ShapeError, r"need \(3, 5\)"),
    ({"attn_mask": SEEN.astype(np.int64)}, DTypeError, "need bool or float32"),
    ({"is_causal": True}, ArgumentError, "is_causal without attn_mask"),
    ({"bias_k": array(1, 1, WIDTH)}, ArgumentError, "need both or none"),
    ({"static_k": array(6, 7, 3), **ADDED}, ArgumentError, "need one or the other"),
    ({"static_k": array(5, 7, 3)}, ShapeError, r"need \(6, length, 3\)"),
])  # fmt: skip
def test_errors_name_a_fix(change, error, says):
    given = {k: am.tensor(v) if isinstance(v, np.ndarray) else v
             for k, v in arguments(**change).items()}  # fmt: skip
    with pytest.raises(error, match=says):
        F.multi_head_attention_forward(**given)
