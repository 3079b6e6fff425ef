/* Which level's kernels run on this processor. FD_HAVE_* says which levels were compiled. */
#include "fastdiff.h"
#include "fastdiff_build.h"

#include <string.h>

const fd_build_info fd_build = {
    .compiler = FD_BUILD_COMPILER,
    .target = FD_BUILD_TARGET,
    .flags = FD_BUILD_FLAGS,
    .levels = FD_BUILD_LEVELS,
};

/* One line here for each kernel source; see fd_kernels. */
#define FD_DECLARE(suffix)                               \
    extern const fd_stencil_kernels fd_stencil_##suffix; \
    extern const fd_control_kernels fd_control_##suffix; \
    extern const fd_program_kernels fd_program_##suffix; \
    extern const fd_rounds_kernels fd_rounds_##suffix;   \
    extern const fd_grid_kernels fd_grid_##suffix
#define FD_TABLE(suffix)                                                                                             \
    {.level = #suffix, .stencil = &fd_stencil_##suffix, .control = &fd_control_##suffix,                             \
     .program = &fd_program_##suffix, .rounds = &fd_rounds_##suffix, .grid = &fd_grid_##suffix}

FD_DECLARE(baseline);
static const fd_kernels baseline = FD_TABLE(baseline);
#ifdef FD_HAVE_V3
FD_DECLARE(v3);
static const fd_kernels v3 = FD_TABLE(v3);
#endif
#ifdef FD_HAVE_V4
FD_DECLARE(v4);
static const fd_kernels v4 = FD_TABLE(v4);
#endif

const fd_kernels *fd_select(const char *cap)
{
    int limit = !strcmp(cap, "v4") ? 4 : !strcmp(cap, "v3") ? 3 : !strcmp(cap, "baseline") ? 0 : -1;
    if (limit < 0)
        return NULL;
#if defined(FD_HAVE_V3) || defined(FD_HAVE_V4)
    __builtin_cpu_init();
#endif
#ifdef FD_HAVE_V4
    if (limit >= 4 && __builtin_cpu_supports("x86-64-v4"))
        return &v4;
#endif
#ifdef FD_HAVE_V3
    if (limit >= 3 && __builtin_cpu_supports("x86-64-v3"))
        return &v3;
#endif
    return &baseline;
}
