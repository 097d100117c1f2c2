/*
 * memory: allocations of the code under test that fail now and then, as the run's seed has it.
 *
 * The linker sends malloc and its kin through wrappers (see CMakeLists.txt); only what is asked for while `inside` may
 * fail, so that the simulation itself never runs short.
 */
#ifndef HB_SIM_MEMORY_H
#define HB_SIM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* On average one in `one_in` allocations fails; 0: none does. */
void memory_open(uint64_t seed, uint32_t one_in);
/* Returns what it was, to be given back. */
bool memory_inside(bool inside);
uint64_t memory_failures(void);

#endif
