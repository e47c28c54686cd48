/* Counts instructions per domain: a domain's own, and Xen's on its behalf.
 *
 * A TCG plugin for QEMU 10; of several CPUs Xen may use the first alone (maxcpus=1), which is counted. Build: cc -shared -fPIC -O2 -nostdlib -o count.so count.c
 * (without libraries: all it calls is in the QEMU process, whatever C library that has).
 *
 * Arguments, all numbers as C writes them:
 *   out=FILE               where events go, a line each
 *   xen=START:END          virtual addresses of the hypervisor
 *   entry=ADDRESS          where a domain's first instruction is: its counters start from 0 there
 *   uart=ADDRESS           the machine's serial port, a physical address
 *   cpus=N                 how many CPUs the machine has, 1 if nothing is said
 *   run=NAME:ADDRESS       an event when a domain first comes here ...
 *   store=NAME:START:END   ... or when the code at `entry` first writes here; virtual addresses
 *   lines=START:END        an event when the code at `entry` writes a line feed here; virtual addresses
 *   profile=FILE           where profiles go
 *
 * An event: WHAT DETAIL VMID OWN XEN WAITS CALLS ALL, where OWN and XEN are the instructions of this domain since its
 * start, WAITS how often it has executed WFI, CALLS how many hypercalls it has made and ALL the instructions of the
 * machine.
 *   start -          the domain's first instruction comes next
 *   uart -           the first byte on the machine's serial port since the latest start
 *   run, store NAME  as asked for
 *   hypercall N      the first one of this number (x16); 0 stands for an hvc that is none, such as PSCI's
 *   wait -           WFI
 *   syscall N        the domain's user space made its first system call, or its first write(2), of number N
 *   mark N           its user space called kill(7000000 + N, 0): a shell can do so without any tool of ours
 *   line N           its Nth line feed
 *   account -        the state of each domain, after each mark and each line
 *
 * A profile: after each line feed "line N", after each mark "mark N", and then what the domain that started last did since the one before:
 *   block ADDRESS INSNS COUNT   how often a block of instructions was executed: at `entry`, or Xen's meanwhile
 *   trap VECTOR ESR X16 COUNT   how often Xen was entered, where in its table of vectors, and why: the syndrome with
 *                               what differs from trap to trap left out, and the number if it was a hypercall
 *
 * Who is charged: Xen's instructions go to the domain whose VMID is in VTTBR_EL2, from the write on that put it there.
 * The interface is QEMU's include/qemu/qemu-plugin.h; what is used of it is declared here. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 4;

typedef uint64_t plugin_id;
typedef struct { void *score; size_t offset; } score_u64;
enum { VALUE_U128 = 4 };                                      /* each type before it is twice the one before */
typedef struct { int type; union { uint64_t u64; struct { uint64_t low, high; } u128; } data; } mem_value;
typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
    bool system_emulation;
    int smp_vcpus, max_vcpus;
} plugin_info;
typedef struct { void *handle; const char *name, *feature; } register_descriptor;
typedef struct { char *data; unsigned len; } glib_array;      /* GArray */
typedef struct { uint8_t *data; unsigned len; } glib_bytes;   /* GByteArray */
struct block;                                                 /* a translated block of instructions */
struct insn;
struct hwaddr;
enum { NO_REGISTERS, READ_REGISTERS };
enum { INLINE_ADD, INLINE_STORE };
enum { WHEN_NOT_EQUAL = 3 };
enum { WRITES = 2 };
typedef void (*exec_fn)(unsigned cpu, void *data);
typedef void (*access_fn)(unsigned cpu, uint32_t info, uint64_t address, void *data);

void qemu_plugin_register_vcpu_init_cb(plugin_id, void (*)(plugin_id, unsigned));
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
void *qemu_plugin_scoreboard_new(size_t);
uint64_t qemu_plugin_u64_get(score_u64, unsigned);
void qemu_plugin_u64_set(score_u64, unsigned, uint64_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, exec_fn, int registers, void *);
void qemu_plugin_register_vcpu_tb_exec_cond_cb(
    struct block *, exec_fn, int registers, int condition, score_u64, uint64_t, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *, exec_fn, int registers, void *);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct insn *, int operation, score_u64, uint64_t);
void qemu_plugin_register_vcpu_mem_cb(struct insn *, access_fn, int registers, int which, void *);
size_t qemu_plugin_tb_n_insns(const struct block *);
uint64_t qemu_plugin_tb_vaddr(const struct block *);
struct insn *qemu_plugin_tb_get_insn(const struct block *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct insn *);
size_t qemu_plugin_insn_data(const struct insn *, void *, size_t);
struct hwaddr *qemu_plugin_get_hwaddr(uint32_t, uint64_t);
mem_value qemu_plugin_mem_get_value(uint32_t);
bool qemu_plugin_hwaddr_is_io(const struct hwaddr *);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct hwaddr *);
glib_array *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(void *, glib_bytes *);
glib_bytes *g_byte_array_new(void);
glib_bytes *g_byte_array_set_size(glib_bytes *, unsigned);

/* A64 instructions that matter (Arm ARM C6.2). */
static bool is_wfi(uint32_t w) { return w == 0xd503207f; }
static bool is_hvc(uint32_t w) { return (w & 0xffe0001f) == 0xd4000002; }
static bool is_svc(uint32_t w) { return w == 0xd4000001; }
static bool is_load_or_store(uint32_t w) { return (w & 0x0a000000) == 0x08000000; }
static bool is_vttbr_write(uint32_t w) { return (w & 0xffffffe0) == 0xd51c2100; }

enum { XEN_CALL = 0xea1 };                                    /* xen/include/public/arch-arm.h */
enum { SYS_WRITE = 64, SYS_KILL = 129, MARK_BASE = 7000000 }; /* Linux asm-generic/unistd.h */
enum { DOMAINS = 256, WATCHES = 8, HYPERCALLS = 64, LOGGED_WAITS = 10000, BLOCKS = 1 << 16, TRAPS = 64 };

/* What is known of a domain. The index is its VMID; 0 is Xen before its first domain. */
static struct account {
    uint64_t own, xen, waits, calls, hypercalls, lines;
    uint32_t watches;
    bool used, has_called, has_written;
} accounts[DOMAINS];
static unsigned current;
static uint64_t since;       /* all instructions before this one have been charged */
static uint64_t switched;    /* when VTTBR_EL2 was last written */
static bool uart_is_fresh;

static struct watch { const char *name; uint64_t start, end; bool is_store; } watches[WATCHES];
static unsigned n_watches;
static uint64_t lines_start, lines_end;
static uint64_t xen_start = 0x0a0000000000, xen_end = 0x0b0000000000;
static int cpus = 1;
static uint64_t entry = 0x40000000, entry_end = 0x44000000, uart = 0x9000000;

static FILE *out, *profile;
static unsigned profiled;    /* the domain that started last */
static unsigned in_vttbr;    /* the one whose VMID is in VTTBR_EL2, as far as writes to it were seen */
static struct profiled_block { uint64_t start, insns, count; } blocks[BLOCKS];
static struct trap { uint64_t vector, esr, x16, count; } traps[TRAPS];
static score_u64 executed, in_xen;
enum { X0, X1, X8, X16, VTTBR, ESR, N_REGISTERS };
static const char *const register_names[N_REGISTERS] = { "x0", "x1", "x8", "x16", "VTTBR_EL2", "ESR_EL2" };
enum { GENERAL = 31 };
static void *registers[N_REGISTERS], *general[GENERAL];
static glib_bytes *buffer;

static uint64_t read_value(void *handle)
{
    uint64_t value = 0;
    g_byte_array_set_size(buffer, 0);
    qemu_plugin_read_register(handle, buffer);
    memcpy(&value, buffer->data, buffer->len < sizeof value ? buffer->len : sizeof value);
    return value;
}

static uint64_t read_register(int which)
{
    return read_value(registers[which]);
}

static void settle(unsigned cpu)
{
    uint64_t now = qemu_plugin_u64_get(executed, cpu);
    *(qemu_plugin_u64_get(in_xen, cpu) ? &accounts[current].xen : &accounts[current].own) += now - since;
    since = now;
}

static void report(const char *what, const char *detail, unsigned domain)
{
    const struct account *a = &accounts[domain];
    fprintf(out, "%s %s %u %llu %llu %llu %llu %llu\n", what, detail, domain, (unsigned long long)a->own,
            (unsigned long long)a->xen, (unsigned long long)a->waits, (unsigned long long)a->calls,
            (unsigned long long)since);
}

static void event(unsigned cpu, const char *what, const char *detail)
{
    settle(cpu);
    if (current)
        report(what, detail, current);
}

static void numbered_event(unsigned cpu, const char *what, uint64_t number)
{
    char detail[24];
    snprintf(detail, sizeof detail, "%llu", (unsigned long long)number);
    event(cpu, what, detail);
}

static void report_accounts(void)
{
    for (unsigned domain = 1; domain < DOMAINS; domain++)
        if (accounts[domain].used)
            report("account", "-", domain);
}

/* --- Profiles --- */

/* Arm ARM D24.2.40: what is kept of a syndrome is its class, of an HVC its number, of a system register which one. */
enum { CLASS_HVC = 0x16, CLASS_REGISTER = 0x18 };

static void count_trap(uint64_t vector)
{
    uint64_t esr = read_register(ESR), class = esr >> 26 & 0x3f, x16 = 0;
    bool is_exception = (vector & 0x780) == 0x400;            /* a synchronous one, from a lower level in AArch64 */
    esr = !is_exception ? 0 : class == CLASS_HVC ? esr & 0xfc00ffff
        : class == CLASS_REGISTER ? esr & 0xfc3ffc1f : esr & 0xfc000000;
    if (is_exception && class == CLASS_HVC)
        x16 = read_register(X16);
    for (struct trap *t = traps; t < traps + TRAPS; t++) {
        if (!t->count)
            *t = (struct trap) { vector & 0x7ff, esr, x16, 0 };
        if (t->vector == (vector & 0x7ff) && t->esr == esr && t->x16 == x16) {
            t->count++;
            return;
        }
    }
}

static void on_profiled_block(unsigned cpu, void *data)
{
    if (in_vttbr == profiled)
        ((struct profiled_block *)data)->count++;
}

/* The block's place in the table; NULL if it is full. */
static struct profiled_block *profiled_block(uint64_t start, uint64_t insns)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct profiled_block *b = &blocks[(start / 4 + insns * 8191 + i) % BLOCKS];
        if (!b->insns)
            *b = (struct profiled_block) { start, insns, 0 };
        if (b->start == start && b->insns == insns)
            return b;
    }
    return NULL;
}

static void report_profile(const char *after, uint64_t number)
{
    fprintf(profile, "%s %llu\n", after, (unsigned long long)number);
    for (struct profiled_block *b = blocks; b < blocks + BLOCKS; b++)
        if (b->count) {
            fprintf(profile, "block %llx %llu %llu\n", (unsigned long long)b->start, (unsigned long long)b->insns,
                    (unsigned long long)b->count);
            b->count = 0;
        }
    for (struct trap *t = traps; t < traps + TRAPS; t++)
        if (t->count)
            fprintf(profile, "trap %llx %llx %llu %llu\n", (unsigned long long)t->vector, (unsigned long long)t->esr,
                    (unsigned long long)t->x16, (unsigned long long)t->count);
    memset(traps, 0, sizeof traps);
    fflush(profile);
}

/* --- While it runs --- */

static void on_enter_xen(unsigned cpu, void *data)
{
    settle(cpu);
    if (profile && current == profiled)
        count_trap((uintptr_t)data);
    qemu_plugin_u64_set(in_xen, cpu, 1);
}

static void on_leave_xen(unsigned cpu, void *data)
{
    unsigned domain = (read_register(VTTBR) >> 48) % DOMAINS;
    if (domain != current && switched > since) {
        accounts[current].xen += switched - since;
        since = switched;
    }
    current = in_vttbr = domain;
    accounts[current].used = true;
    settle(cpu);
    qemu_plugin_u64_set(in_xen, cpu, 0);
}

static void on_vttbr_write(unsigned cpu, void *data)
{
    switched = qemu_plugin_u64_get(executed, cpu);
    if (profile && (uintptr_t)data < GENERAL)
        in_vttbr = (read_value(general[(uintptr_t)data]) >> 48) % DOMAINS;
}

static void on_domain_entry(unsigned cpu, void *data)
{
    settle(cpu);
    memset(&accounts[current], 0, sizeof accounts[current]);
    accounts[current].used = true;
    uart_is_fresh = current;
    profiled = current;
    event(cpu, "start", "-");
}

static void on_wfi(unsigned cpu, void *data)
{
    if (accounts[current].waits++ < LOGGED_WAITS)
        event(cpu, "wait", "-");
}

static void on_hvc(unsigned cpu, void *data)
{
    uint64_t number = (uintptr_t)data == XEN_CALL ? read_register(X16) : 0;
    accounts[current].calls += (uintptr_t)data == XEN_CALL;
    if (number < HYPERCALLS && !(accounts[current].hypercalls >> number & 1)) {
        accounts[current].hypercalls |= 1ull << number;
        numbered_event(cpu, "hypercall", number);
    }
}

static void on_svc(unsigned cpu, void *data)
{
    struct account *a = &accounts[current];
    uint64_t number = read_register(X8);
    if (!a->has_called) {
        a->has_called = true;
        numbered_event(cpu, "syscall", number);
    }
    if (number == SYS_WRITE && !a->has_written) {
        a->has_written = true;
        numbered_event(cpu, "syscall", number);
    }
    uint64_t mark = read_register(X0) - MARK_BASE;
    if (number == SYS_KILL && mark < 1000 && read_register(X1) == 0) {
        numbered_event(cpu, "mark", mark);
        report_accounts();
        if (profile)
            report_profile("mark", mark);
    }
}

static void on_watched(unsigned cpu, const struct watch *w)
{
    uint32_t bit = 1u << (w - watches);
    if (!(accounts[current].watches & bit)) {
        accounts[current].watches |= bit;
        event(cpu, w->is_store ? "store" : "run", w->name);
    }
}

static void on_watched_run(unsigned cpu, void *data)
{
    on_watched(cpu, data);
}

static void on_written(unsigned cpu, mem_value value)
{
    uint64_t words[] = { value.data.u128.low, value.data.u128.high };
    for (unsigned i = 0; i < 1u << value.type && value.type <= VALUE_U128; i++)
        if ((words[i / 8] >> i % 8 * 8 & 0xff) == '\n') {
            numbered_event(cpu, "line", ++accounts[current].lines);
            report_accounts();
            if (profile && current == profiled)
                report_profile("line", accounts[current].lines);
        }
}

static void on_domain_store(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
    for (unsigned i = 0; i < n_watches; i++)
        if (watches[i].is_store && watches[i].start <= address && address < watches[i].end)
            on_watched(cpu, &watches[i]);
    if (lines_start <= address && address < lines_end)
        on_written(cpu, qemu_plugin_mem_get_value(info));
}

static void on_xen_store(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
    if (!uart_is_fresh || (address ^ uart) & 0xfff)
        return;
    struct hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    if (where && qemu_plugin_hwaddr_is_io(where) && qemu_plugin_hwaddr_phys_addr(where) == uart) {
        uart_is_fresh = false;
        event(cpu, "uart", "-");
    }
}

/* --- When a block is translated --- */

static void on_xen_insn(struct insn *insn, uint32_t word)
{
    if (is_load_or_store(word))
        qemu_plugin_register_vcpu_mem_cb(insn, on_xen_store, NO_REGISTERS, WRITES, NULL);
    else if (is_vttbr_write(word))
        qemu_plugin_register_vcpu_insn_exec_cb(
            insn, on_vttbr_write, profile ? READ_REGISTERS : NO_REGISTERS, (void *)(uintptr_t)(word & 31));
}

static void on_domain_insn(struct insn *insn, uint32_t word)
{
    uint64_t address = qemu_plugin_insn_vaddr(insn);
    for (unsigned i = 0; i < n_watches; i++)
        if (!watches[i].is_store && watches[i].start == address)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_watched_run, NO_REGISTERS, &watches[i]);
    if (is_wfi(word))
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_wfi, NO_REGISTERS, NULL);
    else if (is_hvc(word))
        qemu_plugin_register_vcpu_insn_exec_cb(
            insn, on_hvc, READ_REGISTERS, (void *)(uintptr_t)(word >> 5 & 0xffff));
    else if (is_svc(word))
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_svc, READ_REGISTERS, NULL);
    else if (is_load_or_store(word) && entry <= address && address < entry_end)
        qemu_plugin_register_vcpu_mem_cb(insn, on_domain_store, NO_REGISTERS, WRITES, NULL);
}

static void on_translate(plugin_id id, struct block *block)
{
    uint64_t start = qemu_plugin_tb_vaddr(block);
    bool is_xen = xen_start <= start && start < xen_end;
    qemu_plugin_register_vcpu_tb_exec_cond_cb(block, is_xen ? on_enter_xen : on_leave_xen,
        is_xen && !profile ? NO_REGISTERS : READ_REGISTERS, WHEN_NOT_EQUAL, in_xen, is_xen,
        (void *)(uintptr_t)start);
    if (profile && (is_xen || (entry <= start && start < entry_end))) {
        struct profiled_block *b = profiled_block(start, qemu_plugin_tb_n_insns(block));
        if (b)
            qemu_plugin_register_vcpu_tb_exec_cb(block, on_profiled_block, NO_REGISTERS, b);
    }
    if (start == entry)
        qemu_plugin_register_vcpu_tb_exec_cb(block, on_domain_entry, NO_REGISTERS, NULL);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint32_t word = 0;
        qemu_plugin_insn_data(insn, &word, sizeof word);
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, INLINE_ADD, executed, 1);
        (is_xen ? on_xen_insn : on_domain_insn)(insn, word);
    }
}

/* --- Beginning and end --- */

static void on_cpu_init(plugin_id id, unsigned cpu)
{
    /* Others may be of another kind. */
    if (cpu)
        return;
    glib_array *array = qemu_plugin_get_registers();
    const register_descriptor *all = (const void *)array->data;
    for (unsigned i = 0; i < array->len; i++) {
        for (int r = 0; r < N_REGISTERS; r++)
            if (!strcmp(all[i].name, register_names[r]))
                registers[r] = all[i].handle;
        unsigned long n = strtoul(all[i].name + 1, NULL, 10);
        if (all[i].name[0] == 'x' && all[i].name[1] && n < GENERAL)
            general[n] = all[i].handle;
    }
    for (int r = 0; r < N_REGISTERS; r++)
        if (!registers[r]) {
            fprintf(stderr, "count: QEMU does not show register %s\n", register_names[r]);
            exit(1);
        }
}

static bool set(char *argument)
{
    char *value = strchr(argument, '=');
    if (!value)
        return false;
    *value++ = 0;
    char *colon = strchr(value, ':');
    bool is_out = !strcmp(argument, "out");
    if (is_out || !strcmp(argument, "profile"))
        return (*(is_out ? &out : &profile) = fopen(value, "w")) != NULL;
    if (!strcmp(argument, "entry"))
        return entry = strtoull(value, NULL, 0), entry_end = entry + 0x4000000, true;
    if (!strcmp(argument, "cpus"))
        return cpus = strtol(value, NULL, 0), true;
    if (!strcmp(argument, "uart"))
        return uart = strtoull(value, NULL, 0), true;
    if (!strcmp(argument, "xen") && colon)
        return xen_start = strtoull(value, NULL, 0), xen_end = strtoull(colon + 1, NULL, 0), true;
    if (!strcmp(argument, "lines") && colon)
        return lines_start = strtoull(value, NULL, 0), lines_end = strtoull(colon + 1, NULL, 0), true;
    bool is_store = !strcmp(argument, "store");
    if ((!is_store && strcmp(argument, "run")) || !colon || n_watches == WATCHES)
        return false;
    struct watch *w = &watches[n_watches++];
    *colon = 0;
    w->name = strdup(value);
    w->is_store = is_store;
    w->start = strtoull(colon + 1, &colon, 0);
    w->end = is_store && *colon == ':' ? strtoull(colon + 1, NULL, 0) : w->start;
    return true;
}

EXPORT int qemu_plugin_install(plugin_id id, const plugin_info *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char *argument = strdup(argv[i]);
        if (!set(argument)) {
            fprintf(stderr, "count: cannot use argument %s\n", argv[i]);
            return 1;
        }
        free(argument);
    }
    if (!out || info->smp_vcpus != cpus) {
        fprintf(stderr, "count: needs out=FILE and cpus=%d\n", info->smp_vcpus);
        return 1;
    }
    setvbuf(out, NULL, _IOLBF, 0);
    buffer = g_byte_array_new();
    executed = (score_u64) { qemu_plugin_scoreboard_new(sizeof(uint64_t)), 0 };
    in_xen = (score_u64) { qemu_plugin_scoreboard_new(sizeof(uint64_t)), 0 };
    qemu_plugin_register_vcpu_init_cb(id, on_cpu_init);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
