/*
 * uv_simulated: the few functions of libuv that the store uses, on simulated time. They take libuv's place at link
 * time.
 *
 * As in libuv, a timer counts from the loop's own time, which stands still during a turn.
 */
#ifndef HB_SIM_UV_SIMULATED_H
#define HB_SIM_UV_SIMULATED_H

#include <stdint.h>

void uv_simulated_set_time(int64_t now);
int64_t uv_simulated_next(void);   /* INT64_MAX: no timer is running */
void uv_simulated_run_timer(void); /* the next one */
void uv_simulated_prepare(void);
void uv_simulated_run_closing(void);
int uv_simulated_open_handles(void);

#endif
