/* One pass over an answer of vLLM's: its tokens and their log-probabilities, as arrays.

   Reading the same by a JSON library makes an object of every number, which was a quarter of a
   turn's instructions over HTTP (docs/benchmarks.md). This reader knows one shape, the one that a
   sound answer has, and gives up on everything else, be it wrong or only unusual: then `_wire.py`
   reads the answer again, slowly, and is the one that says what is wrong with it. So there is
   nothing here that a caller could see but speed, and a test holds the two readers to each other.
   It is built where a compiler is there, and done without where none is. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define DEEPEST 16 /* brackets within brackets, in what is skipped */
#define MOST 65536 /* tokens; a longer answer is rare enough to be read slowly */
#define VERSIONS 8 /* updates that one answer may live through */

/* Log-probabilities have bounds in `_wire.py`. These are on the safe side of them, because sums may
   be rounded in another way there. */
#define HIGHEST 1e-3
#define LEAST_SUM -1e29

/* Every `read_...` and `skip...` takes the place where something begins and returns the place
   after it, or NULL for giving up. None looks beyond the end, because a bytes object ends with a
   zero, and a zero is part of nothing. */

typedef struct {
    const char *name;
    Py_ssize_t length;
    int32_t start, end;
} Version;

typedef struct {
    Py_ssize_t most;         /* tokens that there is room for */
    int32_t *ids, *scored;   /* the tokens, and those that have a log-probability */
    float *logps;
    Py_ssize_t count, scores; /* -1: not met yet */
    double highest, sum;     /* of the log-probabilities */
    const char *rendered;    /* the tokens as they are written */
    Py_ssize_t rendered_length;
    const char *finish;
    Py_ssize_t finish_length;
    Version versions[VERSIONS];
    int n_versions;          /* -1: not met yet */
} Answer;

static const char *skip_space(const char *at) {
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') at++;
    return at;
}

/* What stands for itself between quotes: printable ASCII but the quote and the backslash. */
static const bool plain[256] = {
    [' '] = true, [33] = true, [35 ... 91] = true, [93 ... 126] = true,
};

/* The text between quotes. */
static const char *read_text(const char *at, const char **text, Py_ssize_t *length) {
    if (*at != '"') return NULL;
    const char *from = ++at;
    while (plain[(unsigned char)*at]) at++;
    *text = from;
    *length = at - from;
    return *at == '"' ? at + 1 : NULL;
}

static int is(const char *text, Py_ssize_t length, const char *word) {
    return strlen(word) == (size_t)length && memcmp(text, word, (size_t)length) == 0;
}

/* A number of JSON's, as a double; or only the place after it, where `number` is NULL. Exact, like
   Python's: what is not certain to be goes there. */
static const char *read_number(const char *at, double *number) {
    const char *from = at;
    uint64_t digits = 0;
    int significant = 0, scale = 0, exponent = 0, whole = 1;
    int negative = *at == '-';
    if (negative) at++;
    if (*at == '0' && at[1] >= '0' && at[1] <= '9') return NULL;
    if (*at < '0' || *at > '9') return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        digits = digits * 10 + (uint64_t)(*at - '0');
        significant += digits != 0;
    }
    if (*at == '.') {
        whole = 0;
        at++;
        if (*at < '0' || *at > '9') return NULL;
        for (; *at >= '0' && *at <= '9'; at++) {
            digits = digits * 10 + (uint64_t)(*at - '0');
            significant += digits != 0;
            scale--;
        }
    }
    if (*at == 'e' || *at == 'E') {
        whole = 0;
        at++;
        int below = *at == '-';
        if (*at == '-' || *at == '+') at++;
        if (*at < '0' || *at > '9') return NULL;
        for (; *at >= '0' && *at <= '9'; at++)
            if (exponent < 10000) exponent = exponent * 10 + (*at - '0');
        if (below) exponent = -exponent;
    }
    if (!number) return at;
    if (whole && negative && !digits) return NULL; /* an int has no sign without a digit */
    scale += exponent;
#if LDBL_MANT_DIG == 64 && (defined(__x86_64__) || defined(__i386__))
    /* Nineteen digits and a power of ten up to 27 fit 64 bits each, so one division, rounded once,
       gives the nearest number of 64 bits; that rounds to the right double unless it lies in the
       very middle of two. */
    static const long double powers[] = {
        1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,
        1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L,
        1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    if (significant <= 19 && scale <= 0 && scale >= -27) {
        long double quotient = (long double)digits / powers[-scale];
        uint64_t bits;
        memcpy(&bits, &quotient, sizeof bits);
        if ((bits & 0x7ff) != 0x400) {
            *number = negative ? -(double)quotient : (double)quotient;
            return at;
        }
    }
#endif
    char *end;
    *number = PyOS_string_to_double(from, &end, NULL);
    PyErr_Clear(); /* none is known, but what is wrong is for the other reader to say */
    return end == at && isfinite(*number) ? at : NULL;
}

static const char *read_int(const char *at, int32_t *number) {
    if (*at < '0' || *at > '9' || (*at == '0' && at[1] >= '0' && at[1] <= '9')) return NULL;
    int64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (*at - '0');
        if (value > INT32_MAX) return NULL;
    }
    if (*at == '.' || *at == 'e' || *at == 'E') return NULL;
    *number = (int32_t)value;
    return at;
}

/* The key of a field, from the place where it begins, and the place of its value. */
static const char *read_key(const char *at, const char **key, Py_ssize_t *length) {
    if (!(at = read_text(at, key, length))) return NULL;
    at = skip_space(at);
    return *at == ':' ? skip_space(at + 1) : NULL;
}

/* Any value, checked as far as JSON goes. */
static const char *skip(const char *at, int deep) {
    const char *text;
    Py_ssize_t length;
    if (deep > DEEPEST) return NULL;
    switch (*at) {
    case '"':
        return read_text(at, &text, &length);
    case 'n':
        return strncmp(at, "null", 4) ? NULL : at + 4;
    case 't':
        return strncmp(at, "true", 4) ? NULL : at + 4;
    case 'f':
        return strncmp(at, "false", 5) ? NULL : at + 5;
    case '[':
    case '{': {
        char close = *at == '[' ? ']' : '}';
        at = skip_space(at + 1);
        if (*at == close) return at + 1;
        for (;;) {
            if (close == '}' && !(at = read_key(at, &text, &length))) return NULL;
            if (!(at = skip(at, deep + 1))) return NULL;
            at = skip_space(at);
            if (*at == close) return at + 1;
            if (*at != ',') return NULL;
            at = skip_space(at + 1);
        }
    }
    default:
        return read_number(at, NULL);
    }
}

/* A key from the place of an object's opening brace, or from the place after a field's value.
   `*key` is NULL after the last field. */
static const char *first_key(const char *at, const char **key, Py_ssize_t *length) {
    *key = NULL;
    if (*at != '{') return NULL;
    at = skip_space(at + 1);
    return *at == '}' ? at + 1 : read_key(at, key, length);
}

static const char *next_key(const char *at, const char **key, Py_ssize_t *length) {
    *key = NULL;
    if (!at) return NULL;
    at = skip_space(at);
    if (*at == '}') return at + 1;
    return *at == ',' ? read_key(skip_space(at + 1), key, length) : NULL;
}

/* Loops over the fields of the object at `at`; the body moves `at` past each value, and finds it
   past the object when the loop is over, or NULL. */
#define FIELDS(at, key, length)                                                                    \
    for (at = first_key(at, &key, &length); at && key; at = next_key(at, &key, &length))

static const char *read_ids(const char *at, Answer *answer) {
    if (*at != '[' || answer->count >= 0) return NULL;
    answer->rendered = at + 1;
    answer->count = 0;
    do { /* no space anywhere: the text is sent back as it is, as part of the history */
        if (answer->count == answer->most) return NULL;
        if (!(at = read_int(at + 1, &answer->ids[answer->count++]))) return NULL;
    } while (*at == ',');
    answer->rendered_length = at - answer->rendered;
    return *at == ']' ? at + 1 : NULL;
}

static const char *read_score(const char *at, Answer *answer) {
    const char *key;
    Py_ssize_t length;
    double logp = 0;
    int found = 0;
    if (answer->scores == answer->most) return NULL;
    FIELDS(at, key, length) {
        if (is(key, length, "token_id")) {
            if (found & 1) return NULL;
            found |= 1;
            at = read_int(at, &answer->scored[answer->scores]);
        } else if (is(key, length, "logprob")) {
            if (found & 2) return NULL;
            found |= 2;
            at = read_number(at, &logp);
        } else {
            at = skip(at, 0);
        }
    }
    if (!at || found != 3) return NULL;
    if (answer->scores == 0 || logp > answer->highest) answer->highest = logp;
    answer->sum += logp;
    answer->logps[answer->scores++] = (float)logp;
    return at;
}

static const char *read_scores(const char *at, Answer *answer) {
    const char *key;
    Py_ssize_t length;
    if (answer->scores >= 0) return NULL;
    FIELDS(at, key, length) {
        if (!is(key, length, "content")) {
            at = skip(at, 0);
            continue;
        }
        if (*at != '[' || answer->scores >= 0) return NULL;
        answer->scores = 0;
        do {
            if (!(at = read_score(skip_space(at + 1), answer))) return NULL;
            at = skip_space(at);
        } while (*at == ',');
        at = *at == ']' ? at + 1 : NULL;
    }
    return at && answer->scores >= 0 ? at : NULL;
}

static const char *read_version(const char *at, Version *version) {
    const char *key;
    Py_ssize_t length;
    int found = 0;
    FIELDS(at, key, length) {
        int field = is(key, length, "version") ? 1
                    : is(key, length, "start") ? 2
                    : is(key, length, "end")   ? 4
                                               : 0;
        if (found & field) return NULL;
        found |= field;
        if (field == 1)
            at = read_text(at, &version->name, &version->length);
        else if (field)
            at = read_int(at, field == 2 ? &version->start : &version->end);
        else
            at = skip(at, 0);
    }
    return found == 7 ? at : NULL;
}

static const char *read_versions(const char *at, Answer *answer) {
    if (*at != '[' || answer->n_versions >= 0) return NULL;
    answer->n_versions = 0;
    do {
        if (answer->n_versions == VERSIONS) return NULL;
        Version *version = &answer->versions[answer->n_versions++];
        if (!(at = read_version(skip_space(at + 1), version))) return NULL;
        at = skip_space(at);
    } while (*at == ',');
    return *at == ']' ? at + 1 : NULL;
}

static const char *read_choice(const char *at, Answer *answer) {
    const char *key;
    Py_ssize_t length;
    FIELDS(at, key, length) {
        if (is(key, length, "token_ids")) {
            at = read_ids(at, answer);
        } else if (is(key, length, "logprobs")) {
            at = read_scores(at, answer);
        } else if (is(key, length, "weight_versions")) {
            at = read_versions(at, answer);
        } else if (is(key, length, "finish_reason")) {
            if (answer->finish) return NULL;
            at = read_text(at, &answer->finish, &answer->finish_length);
        } else {
            at = skip(at, 0);
        }
    }
    return at;
}

/* Whether the whole body is such an answer, with one choice and nothing missing. */
static int read_body(const char *at, const char *end, Answer *answer) {
    const char *key;
    Py_ssize_t length;
    int choices = 0;
    at = skip_space(at);
    FIELDS(at, key, length) {
        if (is(key, length, "choices")) {
            if (choices++ || *at != '[') return 0;
            if (!(at = read_choice(skip_space(at + 1), answer))) return 0;
            at = skip_space(at);
            at = *at == ']' ? at + 1 : NULL;
        } else {
            at = skip(at, 0);
        }
    }
    return at && skip_space(at) == end && choices && answer->finish && answer->n_versions > 0 &&
           answer->count > 0 && answer->count == answer->scores &&
           memcmp(answer->ids, answer->scored, (size_t)answer->count * sizeof(int32_t)) == 0 &&
           answer->highest <= HIGHEST && answer->sum > LEAST_SUM;
}

static PyObject *versions_of(const Answer *answer) {
    PyObject *all = PyTuple_New(answer->n_versions);
    if (!all) return NULL;
    for (int i = 0; i < answer->n_versions; i++) {
        const Version *one = &answer->versions[i];
        PyObject *item = Py_BuildValue("s#ii", one->name, one->length, one->start, one->end);
        if (!item) {
            Py_DECREF(all);
            return NULL;
        }
        PyTuple_SET_ITEM(all, i, item);
    }
    return all;
}

PyDoc_STRVAR(read_doc,
"read(body, most, /)\n--\n\n"
"What a sound answer with at most `most` tokens says, or None.");

static PyObject *read_answer(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "read takes a body and the most tokens there may be");
        return NULL;
    }
    Py_ssize_t most = PyLong_AsSsize_t(args[1]);
    if (most == -1 && PyErr_Occurred()) return NULL;
    if (!PyBytes_CheckExact(args[0]) || most < 1) Py_RETURN_NONE;
    const char *body = PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    /* A token takes two characters at least, so a short answer needs no room for a long one. */
    if (most > size / 2) most = size / 2;
    if (most > MOST) most = MOST;
    int32_t small[3 * 256];
    int32_t *room = small;
    if (most > 256 && !(room = PyMem_Malloc((size_t)most * 3 * sizeof(int32_t))))
        return PyErr_NoMemory();
    Answer answer = {
        .most = most,
        .ids = room,
        .scored = room + most,
        .logps = (float *)(room + 2 * most),
        .count = -1,
        .scores = -1,
        .n_versions = -1,
    };
    PyObject *result = NULL;
    if (!read_body(body, body + size, &answer)) {
        result = Py_NewRef(Py_None);
    } else {
        PyObject *versions = versions_of(&answer);
        if (versions) /* N gives the reference away */
            result = Py_BuildValue("y#y#s#Ny#", (char *)answer.ids,
                                   answer.count * (Py_ssize_t)sizeof(int32_t),
                                   (char *)answer.logps,
                                   answer.count * (Py_ssize_t)sizeof(float), answer.finish,
                                   answer.finish_length, versions, answer.rendered,
                                   answer.rendered_length);
    }
    if (room != small) PyMem_Free(room);
    return result;
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))read_answer, METH_FASTCALL, read_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_answer",
    .m_doc = "Sound answers of vLLM's, read in one pass.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__answer(void) { return PyModuleDef_Init(&definition); }
