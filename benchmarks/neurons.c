/* The exact step of a network of QIF neurons as a plain loop, without a library: what the machine can do.
   V -> (a V + eta)/(a - V); a spike is V > a. The kick is the count of the last step, foretold and corrected as in the library. */
#ifndef REAL
#define REAL float
#endif
long run(REAL *restrict V, const REAL *restrict a, const REAL *restrict eta, long N, long steps, REAL gain, REAL n0) {
  REAL owed = 0, n1 = n0, n2 = n0;
  long total = 0;
  for (long t = 0; t < steps; t++) {
    REAL foretold = 2 * n1 - n2, kick = owed + gain * foretold / 2;
    int n = 0;
    for (long j = 0; j < N; j++) {
      REAL v = V[j] + kick;
      n += v > a[j];
      V[j] = (a[j] * v + eta[j]) / (a[j] - v);
    }
    owed = gain * (n - foretold / 2);
    n2 = n1;
    n1 = n;
    total += n;
  }
  return total;
}
