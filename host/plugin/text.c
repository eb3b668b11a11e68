#include "plugin/text.h"

#include "base/utf8.h"

#include <string.h>

/* U+0080 to U+009F: terminals take them as commands. */
static bool is_c1(const char *text, size_t valid) {
    return valid == 2 && (unsigned char)text[0] == 0xC2 && (unsigned char)text[1] < 0xA0;
}

bool lathe_text_is_clean(const char *text, size_t len) {
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = lathe_utf8_length(text + i, len - i);
        if (n == 0 || is_c1(text + i, n) || c == 0x7F || (c < 0x20 && c != '\n' && c != '\t'))
            return false;
        i += n;
    }
    return true;
}

bool lathe_text_is_usable(const char *text, size_t limit) {
    size_t len = text != NULL ? strnlen(text, limit + 1) : 0;
    return len > 0 && len <= limit && lathe_text_is_clean(text, len);
}

const char *lathe_text_clean(const char *text, size_t limit, char *out, size_t size) {
    size_t n = 0, len = text != NULL ? strnlen(text, limit) : 0;
    for (size_t i = 0; i < len && size > 0;) {
        unsigned char c = (unsigned char)text[i];
        size_t valid = lathe_utf8_length(text + i, len - i);
        if (is_c1(text + i, valid))
            valid = 0; /* two bytes, two marks */
        size_t take = valid == 0 ? 1 : valid;
        if (n + take >= size)
            break;
        memcpy(out + n, text + i, take);
        if (c == '\n' || c == '\r' || c == '\t')
            out[n] = ' ';
        else if (valid == 0 || c < 0x20 || c == 0x7F)
            out[n] = '?';
        n += take;
        i += take;
    }
    if (size > 0)
        out[n] = '\0';
    return out;
}
