# cmake "-DIN=file|file" -DOUT=header.h -DNAME=lathe_chart_js -P embed.cmake: files, end to end, as a C array.
#
#     static const unsigned char NAME[] = {…, 0};   // with a NUL beyond the end
#     static const size_t NAME_len = …;             // without it
string(REPLACE "|" ";" files "${IN}")
set(hex "")
set(source "")
foreach(file IN LISTS files)
    file(READ "${file}" part HEX)
    string(APPEND hex "${part}")
    get_filename_component(name "${file}" NAME)
    string(APPEND source " ${name}")
endforeach()
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," body "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)"
       "\\1\n" body "${body}")
string(TOUPPER "${NAME}" guard)
file(WRITE "${OUT}" "/* Made from${source} by cmake/embed.cmake. */
#ifndef ${guard}_H
#define ${guard}_H
#include <stddef.h>
static const unsigned char ${NAME}[] = {
${body}0};
static const size_t ${NAME}_len = ${bytes};
#endif
")
