/*
 * time: the two clocks, and ISO 8601 written and read by hand.
 *
 * Every serialised row carries two timestamps, so formatting is on the hot path: no gmtime, no strftime, no locale.
 * Days and civil dates are converted with Howard Hinnant's algorithms ("chrono-Compatible Low-Level Date Algorithms",
 * howardhinnant.github.io/date_algorithms.html): years are counted from 1 March, so that the leap day comes last, in
 * eras of 400 years, each exactly 146,097 days long.
 */
#include "proto/base/time.h"

#include <stdbool.h>
#include <time.h>

#define MS_PER_DAY INT64_C(86400000)
#define WALL_FIRST_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define WALL_LAST_MS INT64_C(253402300799999)  /* 9999-12-31T23:59:59.999Z */
#define DAYS_PER_ERA 146097
#define EPOCH_DAY 719468 /* days from 0000-03-01 to 1970-01-01 */

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for these two clocks */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

hb_mono_ms hb_mono_now(void)
{
    return (hb_mono_ms){clock_ms(CLOCK_MONOTONIC)};
}

hb_wall_ms hb_wall_now(void)
{
    return (hb_wall_ms){clock_ms(CLOCK_REALTIME)};
}

struct hb_moment hb_moment_now(void)
{
    return (struct hb_moment){.mono = hb_mono_now(), .wall = hb_wall_now()};
}

struct date {
    int year, month, day;
};

/* days counts from 1970-01-01. Only for years 0 to 9999. */
static struct date date_of_days(int days)
{
    int shifted = days + EPOCH_DAY;
    int era = (shifted >= 0 ? shifted : shifted - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int day_of_era = shifted - era * DAYS_PER_ERA;
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    int month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return (struct date){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
    };
}

static int days_of_date(struct date date)
{
    int year = date.month <= 2 ? date.year - 1 : date.year;
    int era = (year >= 0 ? year : year - 399) / 400;
    int year_of_era = year - era * 400;
    int month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
    int day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - EPOCH_DAY;
}

static char *put_digits(char *at, int value, int width, char after)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    at[width] = after;
    return at + width + 1;
}

void hb_wall_format(hb_wall_ms t, char out[HB_WALL_TEXT_SIZE])
{
    int64_t ms = t.ms < WALL_FIRST_MS ? WALL_FIRST_MS : t.ms > WALL_LAST_MS ? WALL_LAST_MS : t.ms;
    int64_t ms_of_day = ms % MS_PER_DAY;
    if (ms_of_day < 0)
        ms_of_day += MS_PER_DAY; /* C divides towards zero, calendars towards the past */
    struct date date = date_of_days((int)((ms - ms_of_day) / MS_PER_DAY));
    int rest = (int)ms_of_day;
    out = put_digits(out, date.year, 4, '-');
    out = put_digits(out, date.month, 2, '-');
    out = put_digits(out, date.day, 2, 'T');
    out = put_digits(out, rest / 3600000, 2, ':');
    out = put_digits(out, rest / 60000 % 60, 2, ':');
    out = put_digits(out, rest / 1000 % 60, 2, '.');
    out = put_digits(out, rest % 1000, 3, 'Z');
    *out = '\0';
}

struct reader {
    const char *at, *end;
};

static bool read_char(struct reader *in, char c)
{
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

static bool read_digits(struct reader *in, int width, int *ret_value)
{
    int value = 0;
    if (in->end - in->at < width)
        return false;
    for (int i = 0; i < width; i++) {
        char c = in->at[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    in->at += width;
    *ret_value = value;
    return true;
}

static bool date_exists(struct date date)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (date.month < 1 || date.month > 12 || date.day < 1)
        return false;
    bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    return date.day <= days[date.month - 1] + (date.month == 2 && leap);
}

static bool read_date(struct reader *in, int64_t *ret_ms)
{
    struct date date;
    if (!read_digits(in, 4, &date.year) || !read_char(in, '-') || !read_digits(in, 2, &date.month) ||
        !read_char(in, '-') || !read_digits(in, 2, &date.day) || !date_exists(date))
        return false;
    *ret_ms = days_of_date(date) * MS_PER_DAY;
    return true;
}

static bool read_clock(struct reader *in, int64_t *ret_ms)
{
    int hour, minute, second;
    if (!read_digits(in, 2, &hour) || !read_char(in, ':') || !read_digits(in, 2, &minute) || !read_char(in, ':') ||
        !read_digits(in, 2, &second) || hour > 23 || minute > 59 || second > 59)
        return false;
    *ret_ms = ((hour * 60 + minute) * 60 + second) * INT64_C(1000);
    return true;
}

/* Digits beyond the third are cut, not rounded: a time must not move into the future. */
static bool read_fraction(struct reader *in, int64_t *ret_ms)
{
    *ret_ms = 0;
    if (!read_char(in, '.'))
        return true;
    int digits = 0;
    for (int digit; read_digits(in, 1, &digit); digits++) {
        static const int worth_ms[] = {100, 10, 1};
        if (digits < 3)
            *ret_ms += digit * worth_ms[digits];
    }
    return digits >= 1 && digits <= 9;
}

/* What the zone is ahead of UTC. */
static bool read_zone(struct reader *in, int64_t *ret_ms)
{
    int hour, minute;
    *ret_ms = 0;
    if (in->at == in->end || read_char(in, 'Z'))
        return true;
    bool behind = read_char(in, '-');
    if (!behind && !read_char(in, '+'))
        return false;
    if (!read_digits(in, 2, &hour) || !read_char(in, ':') || !read_digits(in, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *ret_ms = (hour * 60 + minute) * INT64_C(60000);
    if (behind)
        *ret_ms = -*ret_ms;
    return true;
}

enum hb_err hb_wall_parse(const char *text, size_t len, hb_wall_ms *ret_t)
{
    struct reader in = {text, text + len};
    int64_t day, clock, fraction, zone;
    if (!read_date(&in, &day) || !read_char(&in, 'T') || !read_clock(&in, &clock) || !read_fraction(&in, &fraction) ||
        !read_zone(&in, &zone) || in.at != in.end)
        return HB_ERR_INVALID;
    ret_t->ms = day + clock + fraction - zone;
    return HB_OK;
}
