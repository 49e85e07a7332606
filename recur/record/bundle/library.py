"""Names that the package shares with libraries: attributes of what torch, numpy and the standard library hand out.

A name of ours that is one of these is never shortened, since an attribute access does not say whose it is. A test holds the
list against the libraries themselves.
"""

from __future__ import annotations

LIBRARY = frozenset(
    """
    Backend Block Event FLOAT Field Parameter T Template Value Work _ _FIELDS _ONE _accumulate _check _classes
    _difference _lock _log _size _thread _values add args attention autocast average base block bos_id buffers bytes
    chunk classes clip close compare compile compress cos count data date decode decoder decompress device difference
    digest dtype dtypes empty encode encoder error expand factor fields forward frac grad group groups handle histogram
    id_to_piece index is_byte is_control is_unknown is_unused item items join kind load_state_dict log log2 main matrix
    mean mode model modules name named_parameters names new norm normalize number optim overrides pack package parameter
    parameters parts path piece_to_id positive prefix quantized read record root search seconds seed shape shuffle sign
    sin size solve split start state state_dict step stop stream stride take template tensor title total train training
    unk_id unpack update upper value values version vocab_size weight where windows write zero_grad
    """.split()
)
