/* floor.c - what it costs at least to take the numbers out of a list: each object is looked at and read, and
 * nothing is written. rows_packer.py builds it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *touch_f64(PyObject *module, PyObject *list)
{
    double sum = 0;

    (void)module;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        if (!PyFloat_CheckExact(item))
            return PyErr_Format(PyExc_TypeError, "a list of floats");
        sum += PyFloat_AS_DOUBLE(item);
    }
    return PyFloat_FromDouble(sum);
}

static PyObject *touch_i64(PyObject *module, PyObject *list)
{
    long long sum = 0;

    (void)module;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        if (!PyLong_CheckExact(item))
            return PyErr_Format(PyExc_TypeError, "a list of ints");
        sum += PyLong_AsLongLong(item);
    }
    return PyLong_FromLongLong(sum);
}

static PyMethodDef methods[] = {
    { "touch_f64", touch_f64, METH_O, NULL },
    { "touch_i64", touch_i64, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};

static PyModuleDef floor_module = { PyModuleDef_HEAD_INIT, .m_name = "floor", .m_size = 0, .m_methods = methods };

PyMODINIT_FUNC PyInit_floor(void)
{
    return PyModule_Create(&floor_module);
}
