#include "base/buf.h"

#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool lathe_buf_reserve(lathe_buf *buf, size_t more) {
    if (buf->failed)
        return false;
    size_t need;
    if (!lathe_add_size(buf->len, more, &need) || !lathe_add_size(need, 1, &need)) {
        buf->failed = 1;
        return false;
    }
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < need && cap <= SIZE_MAX / 2)
        cap *= 2;
    if (cap < need)
        cap = need;
    char *data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->failed = 1;
        return false;
    }
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return true;
}

void lathe_buf_append(lathe_buf *buf, const void *data, size_t len) {
    if (!lathe_buf_reserve(buf, len) || len == 0)
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void lathe_buf_append_str(lathe_buf *buf, const char *text) {
    lathe_buf_append(buf, text, strlen(text));
}

void lathe_buf_append_char(lathe_buf *buf, char c) {
    lathe_buf_append(buf, &c, 1);
}

void lathe_buf_vprintf(lathe_buf *buf, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    if (len < 0)
        buf->failed = 1;
    else if (lathe_buf_reserve(buf, (size_t)len)) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void lathe_buf_printf(lathe_buf *buf, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    lathe_buf_vprintf(buf, fmt, ap);
    va_end(ap);
}

const char *lathe_buf_str(const lathe_buf *buf) {
    return buf->data != NULL ? buf->data : "";
}

void lathe_buf_clear(lathe_buf *buf) {
    buf->len = 0;
    buf->failed = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

char *lathe_buf_take(lathe_buf *buf) {
    char *data = lathe_buf_reserve(buf, 0) ? buf->data : NULL;
    if (data == NULL)
        free(buf->data);
    *buf = (lathe_buf){0};
    return data;
}

void lathe_buf_free(lathe_buf *buf) {
    if (buf == NULL)
        return;
    free(buf->data);
    *buf = (lathe_buf){0};
}
