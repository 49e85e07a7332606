"""Golden ``config`` dictionaries (the reference's hyper-parameter names) as our recipe branches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from recur import native
from recur.config import EvalConfig, ModelConfig, OptimConfig, TTTConfig
from recur.optim import ema
from recur.quantize import sweep

_fast = ContextVar("fast", default=False)


@contextmanager
def fast_paths(on: bool) -> Iterator[None]:
    """Every switch of the recipe that computes the same by another way, and the native kernels, on or off."""
    before, torch_paths = _fast.set(on), (sweep.round_block, ema.blend)
    if on:
        native.install()
    try:
        yield
    finally:
        _fast.reset(before)
        sweep.round_block, ema.blend = torch_paths


def _layers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in str(text).split(",") if part.strip())


def model_config_from_golden(config: dict[str, Any]) -> ModelConfig:
    """The model branch."""
    return ModelConfig(
        vocab_size=config["vocab_size"],
        layers=config["num_layers"],
        width=config["model_dim"],
        embedding_width=config["embedding_dim"],
        heads=config["num_heads"],
        kv_heads=config["num_kv_heads"],
        mlp_mult=config["mlp_mult"],
        train_seq_len=config["train_seq_len"],
        tied_embeddings=config["tie_embeddings"],
        embedding_init_std=config["tied_embed_init_std"],
        logit_softcap=config["logit_softcap"],
        rope_base=config["rope_base"],
        rope_dims=config["rope_dims"],
        depth_scaled_norms=config["ln_scale"],
        qk_gain_init=config["qk_gain_init"],
        xsa_last_layers=config["xsa_last_n"],
        value_embedding_width=config["ve_dim"] if config["ve_enabled"] else 0,
        value_embedding_layers=_layers(config["ve_layers"]) if config["ve_enabled"] else (),
        recurrent_layers=_layers(config["recur_layers"]),
        parallel_from_layer=config["parallel_start_layer"],
        skip="gated" if config["skip_gates_enabled"] else "plain",
        dead_skips=True,
        fused_qkv=_fast.get(),
    )


def optim_config_from_golden(config: dict[str, Any]) -> OptimConfig:
    """The optimizer branch."""
    return OptimConfig(
        token_lr=config["tied_embed_lr"],
        head_lr=config["head_lr"],
        matrix_lr=config["matrix_lr"],
        scalar_lr=config["scalar_lr"],
        token_weight_decay=config["embed_wd"],
        matrix_weight_decay=config["muon_wd"],
        scalar_weight_decay=config["adam_wd"],
        beta1=config["beta1"],
        beta2=config["beta2"],
        adam_eps=config["adam_eps"],
        muon_momentum=config["muon_momentum"],
        muon_momentum_start=config["muon_momentum_warmup_start"],
        muon_momentum_warmup_steps=config["muon_momentum_warmup_steps"],
        newton_schulz_steps=config["muon_backend_steps"],
        grad_clip_norm=config["grad_clip_norm"],
        warmdown_frac=config["warmdown_frac"],
        min_lr_frac=config["min_lr"],
        ema_decay=config["ema_decay"],
        frozen_projections=True,
    )


def eval_config_from_golden(config: dict[str, Any], *, tail: str = "reference") -> EvalConfig:
    """The evaluation branch."""
    return EvalConfig(
        seq_len=config["eval_seq_len"],
        stride=config["eval_stride"],
        val_batch_tokens=config["val_batch_tokens"],
        counted_rows_only=_fast.get(),
        ttt=TTTConfig(
            lr=config["ttt_lr"],
            epochs=config["ttt_epochs"],
            chunk_tokens=config["ttt_chunk_tokens"],
            momentum=config["ttt_momentum"],
            batch_seqs=config["ttt_batch_seqs"],
            grad_clip_norm=config["ttt_grad_clip"],
            freeze_blocks=config["ttt_freeze_blocks"],
            tail="reference" if tail == "reference" else "once",
        ),
    )
