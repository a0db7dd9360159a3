/* The processed force-gradient Möbius splitting of the engine, as a C programmer would write it: a tile of lanes that stays in
 * registers and first-level cache, the time loop outside the lanes, vectors as wide as the machine's, one reciprocal per lane
 * and step. Compiled on the spot by rivals.py (-O3 -march=native -ffast-math) with -DREAL=double or float and -DBLOCK=lanes per
 * tile, a multiple of the vector's; rivals.py takes the fastest tile. */

#ifndef REAL
#define REAL double
#endif
#ifndef BLOCK
#define BLOCK 32
#endif
#ifdef __AVX512F__
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

typedef REAL vector __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

enum { VECTORS = BLOCK * sizeof(REAL) / BYTES };
enum { CR, CI, AR, AI, SR, SI, KICK, GRADIENT, COEFFICIENTS };

/* x = πr, y = v; `coefficients` is (blocks, COEFFICIENTS, BLOCK), `steps` counts the steps of each block. */
void advance(REAL *restrict xs, REAL *restrict ys, const REAL *restrict coefficients, const long *restrict steps, long blocks) {
    for (long block = 0; block < blocks; block++) {
        const vector *c = (const vector *)(coefficients + block * COEFFICIENTS * BLOCK);
        vector *first = (vector *)(xs + block * BLOCK), *second = (vector *)(ys + block * BLOCK);
        vector x[VECTORS], y[VECTORS];
        for (int i = 0; i < VECTORS; i++) x[i] = first[i], y[i] = second[i];
#define C(name) c[name * VECTORS + i]
        for (long step = 0; step < steps[block]; step++) {
#pragma GCC unroll 8
            for (int i = 0; i < VECTORS; i++) {
                vector a = x[i], b = y[i] + a * (C(KICK) + C(GRADIENT) * a);
                vector nr = C(CR) * a - C(CI) * b + C(AR), ni = C(CR) * b + C(CI) * a + C(AI);
                vector dr = C(CR) + C(SR) * a - C(SI) * b, di = C(CI) + C(SI) * a + C(SR) * b;
                vector q = 1 / (dr * dr + di * di);
                x[i] = (nr * dr + ni * di) * q;
                y[i] = (ni * dr - nr * di) * q;
            }
        }
        for (int i = 0; i < VECTORS; i++) first[i] = x[i], second[i] = y[i];
    }
}
