#include "tests/fuzz/fake_clock.h"

struct hb_moment fake_now;

hb_mono_ms __wrap_hb_mono_now(void);
hb_wall_ms __wrap_hb_wall_now(void);
struct hb_moment __wrap_hb_moment_now(void);

void fake_clock_reset(void)
{
    fake_now = (struct hb_moment){{5000000}, {1790000000000}};
}

void fake_clock_pass(int64_t ms)
{
    fake_now.mono.ms += ms;
    fake_now.wall.ms += ms;
}

hb_mono_ms __wrap_hb_mono_now(void)
{
    return fake_now.mono;
}

hb_wall_ms __wrap_hb_wall_now(void)
{
    return fake_now.wall;
}

struct hb_moment __wrap_hb_moment_now(void)
{
    return fake_now;
}
