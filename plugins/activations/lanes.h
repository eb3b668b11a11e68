/* LANES before a loop says that its iterations do not depend on each other although input and
 * output may be the same array (element i is read before it is written), so that the compiler
 * vectorises it. */
#ifndef LATHE_ACTIVATIONS_LANES_H
#define LATHE_ACTIVATIONS_LANES_H

#if defined(__GNUC__) && !defined(__clang__)
#define LANES _Pragma("GCC ivdep")
#else
#define LANES
#endif

#endif
