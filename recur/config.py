"""The recipe: one frozen tree of standard-library dataclasses, one branch per room of the house.

Defaults are the reference run's (openai/parameter-golf PR #1421; REFERENCE 1-11). The reference's known defects are
options named here and switched on by the faithful profiles only. The numeric rooms take these plain objects;
`recur.recipe` checks them with pydantic at the border (the `Annotated` bounds and `__pydantic_config__` below are read
there and nowhere else).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

Count = Annotated[int, Gt(0)]
NonNegative = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Rate = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
Decay = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the network and of its depth plan (REFERENCE 4)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    vocab_size: Annotated[int, Gt(3), Le(65536)] = 4096
    layers: Count = 11
    width: Count = 512
    embedding_width: Count = 512
    heads: Count = 8
    kv_heads: Count = 4
    mlp_mult: Positive = 4.0
    train_seq_len: Count = 2048
    tied_embeddings: bool = True
    embedding_init_std: Positive = 0.005
    logit_softcap: Positive = 30.0
    rope_base: Positive = 10000.0
    rope_dims: NonNegative = 16
    depth_scaled_norms: bool = True
    qk_gain_init: Positive = 5.0
    xsa_last_layers: NonNegative = 11
    value_embedding_width: NonNegative = 128
    value_embedding_layers: tuple[NonNegative, ...] = (9, 10)
    recurrent_layers: tuple[NonNegative, ...] = (4, 5)
    parallel_from_layer: NonNegative = 7
    block: str = "transformer"
    skip: str = "gated"
    dead_skips: bool = False
    """Reference defect: once the lanes have split, skips are blended into a stream that nothing reads (REFERENCE 4.5)."""
    fused_qkv: bool = False
    """One product for queries, keys and values in training; off = three, as in the reference."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizers, schedules and the moving average (REFERENCE 6)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    matrix: str = "muon"
    token_lr: Rate = 0.03
    head_lr: Rate = 0.008
    matrix_lr: Rate = 0.02
    scalar_lr: Rate = 0.02
    token_weight_decay: Rate = 0.09
    matrix_weight_decay: Rate = 0.09
    scalar_weight_decay: Rate = 0.02
    beta1: Decay = 0.9
    beta2: Decay = 0.95
    adam_eps: Positive = 1e-8
    muon_momentum: Decay = 0.99
    muon_momentum_start: Decay = 0.92
    muon_momentum_warmup_steps: NonNegative = 1500
    newton_schulz_steps: Count = 5
    newton_schulz_dtype: Literal["bf16", "fp32"] = "bf16"
    grad_clip_norm: Rate = 0.3
    warmdown_frac: Fraction = 0.667
    min_lr_frac: Fraction = 0.0
    ema_decay: Decay = 0.9965
    frozen_projections: bool = False
    """Reference defect: with embedding width != model width the two extra projections belong to no optimizer."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Length, batches, clock and precision of training (REFERENCE 5, 7)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    steps: Count = 20000
    wallclock_s: Rate = 600.0
    """Track limit on training + everything that reads training data; 0 = no clock, schedules by step."""
    calibration_reserve_s: Rate = 10.0
    warmup_steps: NonNegative = 20
    batch_tokens: Count = 786432
    micro_batches: Count = 8
    """World size times gradient accumulation; the world size must divide it."""
    recurrence_start_step: NonNegative = 3000
    val_every: NonNegative = 4000
    log_every: Count = 500
    precision: Literal["bf16", "fp32"] = "bf16"
    compile: bool = True
    precompile_recurrence: bool = True
    """Compile both depths in warm-up; off = the deeper graph is compiled on the clock, as in the reference."""
    prefetch: bool = False
    """A thread builds the next batches while a step runs; off = between steps, as in the reference."""
    lagged_vote: bool = False
    """What the ranks' clocks say is used one step later, so that no step waits for it; off = at once, as in the reference."""
    attention: Literal["auto", "flash3", "cudnn", "flash", "math"] = "auto"
    peak_tflops: Rate = 989.4
    """Peak of one device that MFU is stated against (H100 SXM bf16 dense); 0 = measured with a matmul at start."""
    checkpoint_every_s: Rate = 120.0
    """Research mode: seconds on the clock from one checkpoint to the next; 0 = after every step. Record mode has none."""
    checkpoints_kept: Count = 2


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """Calibration and rounding (REFERENCE 8)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    matrix: str = "gptq"
    calibration_batches: Count = 64
    hessian_ranks: Literal["all", "rank0"] = "all"
    damping: Positive = 0.01
    block_columns: Count = 128
    clip_percentiles: Annotated[tuple[Fraction, ...], MinLen(1)] = (0.9990, 0.9995, 0.9999, 0.99999, 1.0)
    candidate_error: Literal["mse", "hessian"] = "hessian"
    scale_floor: bool = False
    """Reference defect: scales never below 1/31 (int6) and 1/127 (int8)."""
    floor_clip: Positive = 1.0
    """Clip value that the int6 floor stands for; 1.0 is the reference's, 1/31 as a step."""
    unrounded_table_scale: bool = False
    """Reference defect: int8 codes computed with the float32 scale, decoded with the float16 one."""
    passthrough_numel: NonNegative = 65536
    fisher_batches: NonNegative = 0
    """Micro-batches of a rank whose output-gradient moments are summed in calibration; 0 = none, tables get no Hessian."""
    scale_rule: str = "slope"
    """How `artifact.fit = "solve"` shapes the steps, up to its one global multiplier: a component of recur.quantize.rules."""
    slope_exponent: Fraction = 0.85
    """p of step ~ (G D)^(-p/2) sigma^(1-p): 1 = equal slope, 0 = steps proportional to the spread."""
    step_layout: Literal["matrix", "row", "row_column"] = "row_column"
    attention_clip: Positive = 13.0
    mlp_clip: Positive = 12.0
    table_clip: Positive = 20.0
    """Clips of the rule sdclip in standard deviations, per role (PR #1586, #1394)."""


@dataclass(frozen=True, kw_only=True)
class ArtifactConfig:
    """Byte budget and container (REFERENCE 9, 10)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    cap_bytes: Count = 16_000_000
    code_bytes: NonNegative = 0
    code_bytes_source: Literal["reference", "none", "bundle"] = "none"
    """Of what: the reference's script, nothing, or the one-file script of this recipe, whose size takes the number's place."""
    compressor: Literal["brotli", "lzma"] = "brotli"
    shuffle_stride: NonNegative = 2
    fit: str = "prune"
    fill_frac: Annotated[float, Gt(0), Lt(1)] = 0.9995
    """`fit = "solve"` ends with total bytes in [fill_frac * cap_bytes, cap_bytes - 1]."""
    prune_rule: Literal["ties"] = "ties"
    prune_factor: Count = 8


@dataclass(frozen=True, kw_only=True)
class TTTConfig:
    """Score-first test-time training (REFERENCE 11.3)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    lr: Rate = 0.002
    epochs: NonNegative = 3
    chunk_tokens: Count = 32768
    momentum: Decay = 0.9
    batch_seqs: Count = 32
    grad_clip_norm: Rate = 1.0
    freeze_blocks: NonNegative = 0
    tail: Literal["once", "reference"] = "once"


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Window plans of the final evaluation (REFERENCE 11)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    modes: Annotated[tuple[str, ...], MinLen(1)] = ("plain", "sliding")
    seq_len: Count = 2048
    stride: Count = 64
    batch_windows: Count = 32
    counted_rows_only: bool = False
    """Sliding mode: rows that do not count skip what only the head reads (last MLPs, last queries, head); off = reference."""
    val_batch_tokens: Count = 65536
    """Tokens of one forward in plain mode; the reference's 524288 are spread over world size * accumulation = 8."""
    ttt: TTTConfig = field(default_factory=TTTConfig)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which text: published shards, own documents, or the text embedded in CPython (DATA G)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    source: Literal["embedded", "docs", "shards"] = "shards"
    repo_id: str = "kevclark/parameter-golf"
    variant: str = "sp4096"
    train_shards: Count = 143
    val_docs: Count = 50000
    tokenizer_docs: Count = 5_000_000
    shard_tokens: Count = 100_000_000


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """What one seed asks of Ray."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    workers: Count = 8
    gpus_per_worker: NonNegative = 1
    cpus_per_worker: Count = 4
    backend: Literal["nccl", "gloo"] = "nccl"
    placement: Literal["STRICT_PACK", "PACK"] = "STRICT_PACK"
    cpu_slots: Count = 1
    """Seeds at a time when the profile needs no GPU; with GPUs it is the number of nodes that hold one seed."""
    fanout_cpus: Count = 1
    overlap: bool = False
    """With GPUs: the next seed trains while this one's quantizer runs on the other cores; scoring waits for GPUs."""
    eval_shards: Count = 8
    worker_timeout_s: Positive = 300.0
    research_restarts: NonNegative = 3
    """Research mode: how often a training that lost a worker is started again inside its attempt."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One whole run: everything but the seed and the paths."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    profile: str
    mode: Literal["record", "research"] = "record"
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    artifact: ArtifactConfig = field(default_factory=ArtifactConfig)
    evaluate: EvalConfig = field(default_factory=EvalConfig)
    data: DataConfig = field(default_factory=DataConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
