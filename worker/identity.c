#include "worker/identity.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "proto/base/time.h"
#include "proto/wire/limits.h"

static const char *const adjectives[] = {
    "brave",  "bright", "calm",   "clever", "eager",  "fair",  "gentle",   "happy", "jolly", "keen",  "kind",
    "lively", "lucky",  "merry",  "mighty", "nimble", "noble", "patient",  "proud", "quick", "quiet", "rapid",
    "sharp",  "silent", "steady", "sunny",  "swift",  "tidy",  "tireless", "warm",  "wise",  "witty",
};

static const char *const animals[] = {
    "badger", "beaver", "bison", "crane", "dolphin", "eagle",  "falcon", "ferret", "finch",  "fox",   "gecko",
    "hare",   "hawk",   "heron", "ibex",  "koala",   "lemur",  "lynx",   "marmot", "marten", "moose", "newt",
    "ocelot", "orca",   "otter", "owl",   "panda",   "puffin", "raven",  "robin",  "seal",   "stork",
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

uint32_t hb_identity_random(void)
{
    uint32_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random)
        return random;
    /* Only just after boot: the clock and the pid still tell workers apart. */
    return (uint32_t)hb_mono_now().ms * 2654435761U ^ (uint32_t)getpid() * 40503U;
}

char *hb_identity_id(int64_t port)
{
    char host[HB_ID_MAX + 1], id[HB_ID_MAX + 1], suffix[16];
    if (gethostname(host, sizeof host) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "worker");
    host[sizeof host - 1] = '\0'; /* a longer name may come without its end */
    for (char *c = host; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-' && *c != '_')
            *c = '_';
    }
    int suffix_len = snprintf(suffix, sizeof suffix, "-%u", (unsigned)(uint16_t)port);
    snprintf(id, sizeof id, "%.*s%s", HB_ID_MAX - suffix_len, host, suffix);
    return strdup(id);
}

char *hb_identity_name(void)
{
    uint32_t random = hb_identity_random();
    char name[64];
    snprintf(name, sizeof name, "%s-%s-%02u", adjectives[random % COUNT(adjectives)],
             animals[(random >> 8) % COUNT(animals)], (random >> 16) % 100);
    return strdup(name);
}
