/*
 * process_figures: what the kernel says of this process, as Prometheus' clients report it.
 *
 * Read from /proc, which never waits for a disk. What cannot be read is -1. About 20 microseconds, whatever is open.
 */
#ifndef HB_APP_PROCESS_FIGURES_H
#define HB_APP_PROCESS_FIGURES_H

#include <stdint.h>

struct hb_process_figures {
    int64_t cpu_us; /* user and system */
    int64_t resident_bytes, virtual_bytes;
    int64_t open_fds, max_fds; /* open_fds: Linux 6.2 and later; before that -1, since counting costs by the thousand */
};

struct hb_process_figures hb_process_figures_read(void);
/* When it has started, in ms since 1970, to the clock tick (10 ms). To be asked once: it wavers with the wall clock. */
int64_t hb_process_start_ms(void);

#endif
