#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

static bool continuation(unsigned char c) {
    return (c & 0xC0) == 0x80;
}

/* The table of RFC 3629, section 4: only the second byte has a range of its own. */
size_t lathe_utf8_length(const char *text, size_t len) {
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 0;
    size_t need = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (len < need)
        return 0;
    unsigned char low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if (!continuation(s[i]))
            return 0;
    }
    return need;
}

bool lathe_utf8_valid(const char *text, size_t len, size_t *bad) {
    size_t at = 0;
    while (at < len) {
        uint64_t word;
        if (len - at >= 8) { /* eight ASCII bytes at a time */
            memcpy(&word, text + at, 8);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += 8;
                continue;
            }
        }
        size_t n = lathe_utf8_length(text + at, len - at);
        if (n == 0) {
            if (bad != NULL)
                *bad = at;
            return false;
        }
        at += n;
    }
    return true;
}

size_t lathe_utf8_encode(unsigned code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 63));
        out[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 63));
    out[2] = (char)(0x80 | (code >> 6 & 63));
    out[3] = (char)(0x80 | (code & 63));
    return 4;
}

size_t lathe_utf8_cut(const char *text, size_t len, size_t max) {
    if (len <= max)
        return len;
    size_t cut = max;
    while (cut > 0 && max - cut < 3 && continuation((unsigned char)text[cut]))
        cut--;
    /* text[cut] begins a character, unless the text is not UTF-8 there: then any cut is as good */
    return continuation((unsigned char)text[cut]) ? max : cut;
}
