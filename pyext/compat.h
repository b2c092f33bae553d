/* compat.h - what older Pythons lack. Included instead of Python.h. */
#ifndef KVPY_COMPAT_H
#define KVPY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x030B0000
/* The module that `def` made and that a base of `type` belongs to; borrowed. */
static inline PyObject *PyType_GetModuleByDef(PyTypeObject *type, PyModuleDef *def)
{
    PyObject *mro = type->tp_mro;

    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        PyObject *module = base->tp_flags & Py_TPFLAGS_HEAPTYPE ? ((PyHeapTypeObject *)base)->ht_module : NULL;

        if (module && PyModule_GetDef(module) == def)
            return module;
    }
    PyErr_Format(PyExc_TypeError, "'%.100s' is no subclass of a type of this module", type->tp_name);
    return NULL;
}
#endif

#endif
