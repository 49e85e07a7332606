"""Ray and nothing but Ray: sessions, placement, one seed as one job, sweeps, fan-out, telemetry."""
