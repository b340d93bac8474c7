/* Hides AVX-512, AVX10 and AMX from a program, so that runtimes take their AVX2 kernels: a library for LD_PRELOAD.
   Linux lets a thread's CPUID instructions fault (arch_prctl(ARCH_SET_CPUID), inherited by threads that it starts and
   switched on again by exec, where this library is loaded anew); the handler answers them with those bits cleared.  Where
   the kernel or the processor refuses, the program ends with status 69 and says so before it starts.
       cc -O2 -shared -fPIC without_avx512.c -o without_avx512.so;  LD_PRELOAD=./without_avx512.so PROGRAM */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
enum { REFUSED = 69, WRONG = 70, CPUID_BYTES = 2 };
typedef struct { unsigned a, b, c, d; } Answer;

static const unsigned AVX512_B = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
static const unsigned AVX512_C = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
static const unsigned AVX512_D = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 23, AMX_D = 1u << 22 | 1u << 24 | 1u << 25;
static const unsigned BF16_A = 1u << 5, AMX_FP16_A = 1u << 21, AMX_COMPLEX_D = 1u << 8, AVX10_D = 1u << 19;

static Answer cpuid(unsigned leaf, unsigned subleaf) {
    Answer found = {leaf, 0, subleaf, 0};
    __asm__ volatile("cpuid" : "+a"(found.a), "=b"(found.b), "+c"(found.c), "=d"(found.d));
    return found;
}

static void answer(int number, siginfo_t *information, void *context) {
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)information;
    if (memcmp((const void *)r[REG_RIP], "\x0f\xa2", CPUID_BYTES)) {   /* some other fault: it comes again, unhandled */
        signal(number, SIG_DFL);
        return;
    }
    const unsigned leaf = (unsigned)r[REG_RAX], subleaf = (unsigned)r[REG_RCX];
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    Answer found = cpuid(leaf, subleaf);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    if (leaf == 7 && subleaf == 0) {
        found.b &= ~AVX512_B;
        found.c &= ~AVX512_C;
        found.d &= ~(AVX512_D | AMX_D);
    } else if (leaf == 7 && subleaf == 1) {
        found.a &= ~(BF16_A | AMX_FP16_A);
        found.d &= ~(AMX_COMPLEX_D | AVX10_D);
    }
    r[REG_RAX] = found.a, r[REG_RBX] = found.b, r[REG_RCX] = found.c, r[REG_RDX] = found.d;
    r[REG_RIP] += CPUID_BYTES;
}

__attribute__((constructor)) static void hide(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    if (sigaction(SIGSEGV, &action, NULL) || syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
        perror("without_avx512: this kernel or processor cannot hide instruction sets (arch_prctl(ARCH_SET_CPUID))");
        _exit(REFUSED);
    }
    if (cpuid(7, 0).b & AVX512_B) {
        fputs("without_avx512: AVX-512 is still seen\n", stderr);
        _exit(WRONG);
    }
}
