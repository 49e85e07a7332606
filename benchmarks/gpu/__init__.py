"""Bars of one GPU: the reference's way beside ours at the record's shapes, in one run (`make bench-gpu`).

Each module's ``outcomes(place)`` also runs at small shapes on a CPU, where only its agreement means anything: that is how the
bars themselves are tested where there is no GPU.
"""
