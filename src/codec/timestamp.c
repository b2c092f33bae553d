/* timestamp.c - seconds since 1970 <-> "2013-03-21T20:04:00.5Z".
 *
 * Days are counted in the Gregorian calendar, also before it was in use, from
 * 0001-01-01; 1970 begins on day 719162. A text with an offset from UTC is read
 * as the instant that it names. */
#include "codec/timestamp.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "codec/limits.h"
#include "base/banned.h"

#define DAY_OF_1970 719162
#define SECONDS_A_DAY 86400

/* Days of a common year before each month. */
static const int16_t days_before_month[13] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };

struct date {
    int year, month, day, hour, minute, second; /* month and day count from 1 */
};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_before_year(int year)
{
    int64_t whole = year - 1;
    return whole * 365 + whole / 4 - whole / 100 + whole / 400;
}

/* `month` up to 13, which is where the year ends. */
static int days_before(int year, int month)
{
    return days_before_month[month - 1] + (month > 2 && is_leap(year));
}

/* Two or four digits at `at`; -1 if they are not. */
static int digits(const char *at, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        value = value * 10 + (at[i] - '0');
    }
    return value;
}

static bool parse_date(const char *at, struct date *ret_date)
{
    struct date date = { digits(at, 4),      digits(at + 5, 2),  digits(at + 8, 2),
                         digits(at + 11, 2), digits(at + 14, 2), digits(at + 17, 2) };

    if (at[4] != '-' || at[7] != '-' || (at[10] != 'T' && at[10] != 't') || at[13] != ':' || at[16] != ':')
        return false;
    if (date.year < 1 || date.month < 1 || date.month > 12 || date.day < 1 ||
        date.day > days_before(date.year, date.month + 1) - days_before(date.year, date.month))
        return false;
    if (date.hour < 0 || date.hour > 23 || date.minute < 0 || date.minute > 59 || date.second < 0 || date.second > 59)
        return false;
    *ret_date = date;
    return true;
}

/* ".5" and its like at *at, which moves behind it; none is 0. */
static bool parse_fraction(const char **at, const char *end, uint32_t *ret_nanoseconds)
{
    uint32_t value = 0;
    int count = 0;

    *ret_nanoseconds = 0;
    if (*at == end || **at != '.')
        return true;
    for ((*at)++; *at < end && **at >= '0' && **at <= '9'; (*at)++, count++) {
        if (count == 9)
            return false;
        value = value * 10 + (uint32_t)(**at - '0');
    }
    if (count == 0)
        return false;
    for (; count < 9; count++)
        value *= 10;
    *ret_nanoseconds = value;
    return true;
}

/* "Z" or "+hh:mm", up to `end`. */
static bool parse_offset(const char *at, const char *end, int64_t *ret_seconds)
{
    int hours, minutes;

    if (end - at == 1 && (*at == 'Z' || *at == 'z')) {
        *ret_seconds = 0;
        return true;
    }
    if (end - at != 6 || (*at != '+' && *at != '-') || at[3] != ':')
        return false;
    hours = digits(at + 1, 2);
    minutes = digits(at + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *ret_seconds = (hours * 60 + minutes) * (*at == '-' ? -60 : 60);
    return true;
}

bool kvault__date_parse(kvault_slice text, int64_t *ret_seconds, uint32_t *ret_nanoseconds)
{
    const char *at = text.data;
    const char *end;
    struct date date;
    uint32_t nanoseconds;
    int64_t offset, days, seconds;

    if (text.size < 20 || !parse_date(at, &date))
        return false;
    end = at + text.size;
    at += 19;
    if (!parse_fraction(&at, end, &nanoseconds) || !parse_offset(at, end, &offset))
        return false;
    days = days_before_year(date.year) + days_before(date.year, date.month) + date.day - 1 - DAY_OF_1970;
    seconds = days * SECONDS_A_DAY + date.hour * 3600 + date.minute * 60 + date.second - offset;
    if (seconds < KVAULT__DATE_MIN_S || seconds > KVAULT__DATE_MAX_S)
        return false;
    *ret_seconds = seconds;
    *ret_nanoseconds = nanoseconds;
    return true;
}

/* Days since 0001-01-01 -> year, month and day. */
static void date_of_day(int64_t day, struct date *date)
{
    int year = (int)(day * 400 / 146097) + 1; /* right, or one too far on either side */
    int month = 1;
    int rest;

    while (days_before_year(year) > day)
        year--;
    while (days_before_year(year + 1) <= day)
        year++;
    rest = (int)(day - days_before_year(year));
    while (days_before(year, month + 1) <= rest)
        month++;
    date->year = year;
    date->month = month;
    date->day = rest - days_before(year, month) + 1;
}

size_t kvault__date_text(int64_t seconds, uint32_t nanoseconds, char ret_text[KVAULT__DATE_TEXT_MAX + 1])
{
    int64_t since = seconds - KVAULT__DATE_MIN_S;
    int in_day = (int)(since % SECONDS_A_DAY);
    struct date date;
    char text[96]; /* six ints of any size, for the compiler's sake */
    size_t size;

    assert(seconds >= KVAULT__DATE_MIN_S && seconds <= KVAULT__DATE_MAX_S);
    assert(nanoseconds <= KVAULT__NANOSECONDS_MAX);
    date_of_day(since / SECONDS_A_DAY, &date);
    size = (size_t)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09u", date.year, date.month, date.day,
                            in_day / 3600, in_day / 60 % 60, in_day % 60, (unsigned)nanoseconds);
    while (text[size - 1] == '0')
        size--;
    if (text[size - 1] == '.')
        size--;
    text[size++] = 'Z';
    memcpy(ret_text, text, size);
    ret_text[size] = '\0';
    return size;
}
