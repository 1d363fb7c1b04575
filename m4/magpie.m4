# magpie.m4 - the few questions configure asks more than once.

# MAGPIE_ENABLE(NAME, HELP): an --enable-NAME that is off by default; sets
# enable_NAME to yes or no.
AC_DEFUN([MAGPIE_ENABLE],
[AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])],
    [AS_IF([test "$enableval" != yes], [enable_$1=no])], [enable_$1=no])])

# MAGPIE_CFLAG(VARIABLE, FLAGS): appends the flags the compiler takes, asked
# one by one.  -Werror makes clang say no to a flag that it would only ignore.
AC_DEFUN([MAGPIE_CFLAG],
[for magpie_flag in $2; do
    AC_MSG_CHECKING([whether $CC takes $magpie_flag])
    magpie_saved=$CFLAGS
    CFLAGS="$CFLAGS -Werror $magpie_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
        [$1="$$1 $magpie_flag"; AC_MSG_RESULT([yes])], [AC_MSG_RESULT([no])])
    CFLAGS=$magpie_saved
done])

# MAGPIE_LDFLAG(VARIABLE, FLAG): the same for the linker.
AC_DEFUN([MAGPIE_LDFLAG],
[AC_MSG_CHECKING([whether the linker takes $2])
magpie_saved_c=$CFLAGS
magpie_saved_l=$LDFLAGS
CFLAGS="$CFLAGS -Werror $HARDEN_CFLAGS"
LDFLAGS="$LDFLAGS $2"
AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
    [$1="$$1 $2"; AC_MSG_RESULT([yes])], [AC_MSG_RESULT([no])])
CFLAGS=$magpie_saved_c
LDFLAGS=$magpie_saved_l])

# MAGPIE_FORTIFY(VARIABLE): _FORTIFY_SOURCE where it works: with optimisation,
# without a sanitizer, and unless the caller or the compiler has set it.
AC_DEFUN([MAGPIE_FORTIFY],
[AC_MSG_CHECKING([for _FORTIFY_SOURCE])
$1=
magpie_saved=$CPPFLAGS
CPPFLAGS="$CPPFLAGS -Werror -D_FORTIFY_SOURCE=2"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
#include <string.h>
#ifndef __OPTIMIZE__
#error no optimisation
#endif]], [])], [magpie_fortify=yes], [magpie_fortify=no])
CPPFLAGS=$magpie_saved
AS_IF([test $enable_debug$enable_sanitizers$enable_tsan$enable_coverage != nononono],
    [magpie_fortify=no])
AS_IF([test $magpie_fortify = yes], [$1="-D_FORTIFY_SOURCE=2"])
AC_MSG_RESULT([$magpie_fortify])
AC_SUBST([$1])])
