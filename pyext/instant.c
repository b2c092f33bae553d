/* instant.c - aware datetimes as seconds and nanoseconds since 1970, and back.
 *
 * A day is a number of the Gregorian calendar that goes on before its own time, as in datetime.toordinal();
 * day 719162 after 0001-01-01 is 1970-01-01. */
#include "instant.h"

#include <datetime.h>

#define DAY_OF_1970 INT64_C(719162)
#define DAYS_OF_400_YEARS 146097
#define SECONDS_A_DAY INT64_C(86400)
#define FIRST_SECOND (-DAY_OF_1970 * SECONDS_A_DAY)
#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* The C side of the module, which lives as long as the interpreter; NULL with an exception. The macros of
 * datetime.h would keep it in a variable of each file. */
static const PyDateTime_CAPI *datetime_api(kvpy_state *state)
{
    if (!state->datetime_api)
        state->datetime_api = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    return state->datetime_api;
}

bool kvpy_is_datetime(kvpy_state *state, PyObject *object)
{
    const PyDateTime_CAPI *api = datetime_api(state);

    return api && PyObject_TypeCheck(object, api->DateTimeType);
}

/* ---- to an instant ---- */

/* Whole days from 0001-01-01 to a date; March comes first, so that the leap day is a year's last. */
static int64_t days_before(int year, int month, int day)
{
    int64_t whole = month > 2 ? year : year - 1;
    int since_march = month > 2 ? month - 3 : month + 9;

    return whole * 365 + whole / 4 - whole / 100 + whole / 400 + (153 * since_march + 2) / 5 + day - 307;
}

/* The offset of the datetime from UTC in microseconds. */
static bool ask_offset(kvpy_state *state, PyObject *datetime, int64_t *ret_us)
{
    PyObject *offset = PyObject_CallMethodNoArgs(datetime, state->str_utcoffset);
    bool known = false;

    if (offset == Py_None)
        PyErr_Format(state->WrongType, "a datetime without a time zone names no instant, and cannot be packed");
    else if (offset && !PyObject_TypeCheck(offset, datetime_api(state)->DeltaType))
        PyErr_Format(state->WrongType, "utcoffset() returned %.100s", Py_TYPE(offset)->tp_name);
    else if (offset)
        known = true;
    if (known)
        *ret_us = ((int64_t)PyDateTime_DELTA_GET_DAYS(offset) * SECONDS_A_DAY + PyDateTime_DELTA_GET_SECONDS(offset)) *
                      1000000 +
                  PyDateTime_DELTA_GET_MICROSECONDS(offset);
    Py_XDECREF(offset);
    return known;
}

bool kvpy_instant_of_datetime(kvpy_state *state, PyObject *datetime, int64_t *ret_seconds, int32_t *ret_nanoseconds)
{
    const PyDateTime_CAPI *api = datetime_api(state);
    int64_t us, offset_us = 0, seconds;

    if (!api)
        return false;
    if (PyDateTime_DATE_GET_TZINFO(datetime) != api->TimeZone_UTC && !ask_offset(state, datetime, &offset_us))
        return false;
    seconds =
        (days_before(PyDateTime_GET_YEAR(datetime), PyDateTime_GET_MONTH(datetime), PyDateTime_GET_DAY(datetime)) -
         DAY_OF_1970) *
            SECONDS_A_DAY +
        PyDateTime_DATE_GET_HOUR(datetime) * 3600 + PyDateTime_DATE_GET_MINUTE(datetime) * 60 +
        PyDateTime_DATE_GET_SECOND(datetime);
    us = seconds * 1000000 + PyDateTime_DATE_GET_MICROSECOND(datetime) - offset_us;
    seconds = us / 1000000 - (us % 1000000 < 0);
    if (seconds < FIRST_SECOND || seconds > LAST_SECOND) {
        PyErr_Format(PyExc_OverflowError, "%R is outside the years 1 to 9999 of UTC", datetime);
        return false;
    }
    *ret_seconds = seconds;
    *ret_nanoseconds = (int32_t)(us - seconds * 1000000) * 1000;
    return true;
}

/* ---- from an instant ---- */

bool kvpy_instant_is_datetime(int64_t seconds, int32_t nanoseconds)
{
    return seconds >= FIRST_SECOND && seconds <= LAST_SECOND && nanoseconds % 1000 == 0;
}

/* The reverse of days_before(). */
static void date_of_day(int64_t day, int *ret_year, int *ret_month, int *ret_day)
{
    int64_t since = day + 306; /* 0000-03-01 */
    int64_t era = since / DAYS_OF_400_YEARS;
    int of_era = (int)(since % DAYS_OF_400_YEARS);
    int year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year + year / 4 - year / 100);
    int month = (5 * of_year + 2) / 153;

    *ret_day = of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (int)(era * 400) + year + (*ret_month <= 2);
}

PyObject *kvpy_datetime_of_instant(kvpy_state *state, int64_t seconds, int32_t nanoseconds)
{
    const PyDateTime_CAPI *api = datetime_api(state);
    int64_t since = seconds - FIRST_SECOND;
    int of_day = (int)(since % SECONDS_A_DAY);
    int year, month, day;

    if (!api)
        return NULL;
    date_of_day(since / SECONDS_A_DAY, &year, &month, &day);
    return api->DateTime_FromDateAndTime(year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60,
                                         nanoseconds / 1000, api->TimeZone_UTC, api->DateTimeType);
}
