/* What torch makes many passes over memory of. Every operation rounds as torch's does: no contraction but the one that is
   written out, so that codes and averages are bit for bit those of the torch path (recur/native/__init__.py checks that). */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define TILE 32 /* rows at once: a block of 128 columns of them stays in the first-level cache */
#define LINE 16 /* floats of a cache line */
#define FRONTS 4
#define AHEAD 256 /* floats: how far before its use a line is asked for; a hint, which may point behind the end */

/* recur.quantize.sweep.round_block. weights, codes, errors: [columns][rows] with a leading dimension each; upper: [columns][...];
   column: factor of each column's steps, or NULL. Returns 0, or 1 without memory. */
int recur_round_block(int64_t columns, int64_t rows, const float *weights, int64_t weights_ld, const float *step,
                      const float *column, const float *upper, int64_t upper_ld, float limit, int8_t *codes,
                      int64_t codes_ld, float *errors, int64_t errors_ld) {
    float *tile = aligned_alloc(64, (size_t)columns * TILE * sizeof(float));
    if (tile == NULL) return 1;
    for (int64_t low = 0; low < rows; low += TILE) {
        int64_t width = rows - low < TILE ? rows - low : TILE;
        float steps[TILE], error[TILE], code[TILE];
        for (int r = 0; r < TILE; r++) steps[r] = r < width ? step[low + r] : 1.0f;
        for (int64_t j = 0; j < columns; j++)
            for (int r = 0; r < TILE; r++) tile[j * TILE + r] = r < width ? weights[j * weights_ld + low + r] : 0.0f;
        for (int64_t j = 0; j < columns; j++) {
            const float *w = tile + j * TILE, factor = column == NULL ? 1.0f : column[j], d = upper[j * upper_ld + j];
            for (int r = 0; r < TILE; r++) {
                float s = steps[r] * factor, q = rintf(w[r] / s);
                q = q < -limit ? -limit : q;
                q = q > limit ? limit : q;
                code[r] = q;
                error[r] = (w[r] - q * s) / d;
            }
            for (int64_t r = 0; r < width; r++) codes[j * codes_ld + low + r] = (int8_t)code[r];
            for (int64_t r = 0; r < width; r++) errors[j * errors_ld + low + r] = error[r];
            for (int64_t k = j + 1; k < columns; k++) {
                float u = upper[j * upper_ld + k], *later = tile + k * TILE;
                for (int r = 0; r < TILE; r++) later[r] -= u * error[r];
            }
        }
    }
    free(tile);
    return 0;
}

/* average += share * (weight - average), one rounding for the product and the sum, as torch's lerp. FRONTS places at once, each
   asked for ahead: one alone, or what the processor guesses by itself, does not keep a core's path to memory busy. */
void recur_blend(int64_t n, float *restrict average, const float *restrict weight, float share) {
    int64_t part = n / (FRONTS * LINE) * LINE;
    for (int64_t low = 0; low < part; low += LINE)
        for (int front = 0; front < FRONTS; front++) {
            float *a = average + front * part + low;
            const float *w = weight + front * part + low;
            __builtin_prefetch(a + AHEAD, 1);
            __builtin_prefetch(w + AHEAD, 0);
            for (int r = 0; r < LINE; r++) a[r] = __builtin_fmaf(share, w[r] - a[r], a[r]);
        }
    for (int64_t i = FRONTS * part; i < n; i++) average[i] = __builtin_fmaf(share, weight[i] - average[i], average[i]);
}
