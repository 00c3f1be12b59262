//! Gives up every right that rendering does not need, for good: the calling process only computes from here on.
//!
//! Sources: setrlimit(2), seccomp(2). The filter is a list of what may be called; all else fails with `EPERM`.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::meter::{CPU_SECONDS, MEMORY_BYTES};

/// What the stack of the thread and the program itself take of the process's memory, beside the rendering.
const OWN_BYTES: u64 = 512 * 1024 * 1024;

/// Limits this process and closes it in: no more memory or CPU time than a rendering may take, no file, no
/// network, no other process or thread; nothing but reading standard input and writing the standard outputs.
///
/// # Errors
/// What this system cannot do; the process must not go on then.
pub fn enclose() -> Result<(), String> {
    // The kernel ends it a little later than it ends itself, in case it does not come to that.
    let cpu = Some(CPU_SECONDS + 1);
    limit("CPU time", Resource::Cpu, Rlimit { current: cpu, maximum: Some(CPU_SECONDS + 2) })?;
    limit("memory", Resource::Data, all(MEMORY_BYTES + OWN_BYTES))?;
    limit("core dumps", Resource::Core, all(0))?;
    limit("sizes of files", Resource::Fsize, all(0))?;
    filter()
}

fn all(limit: u64) -> Rlimit {
    Rlimit { current: Some(limit), maximum: Some(limit) }
}

fn limit(what: &str, resource: Resource, limit: Rlimit) -> Result<(), String> {
    setrlimit(resource, limit).map_err(|error| format!("no limit on {what} can be set: {error}"))
}

#[cfg(not(target_os = "linux"))]
fn filter() -> Result<(), String> {
    Err("only Linux can close a process in".to_owned())
}

#[cfg(target_os = "linux")]
fn filter() -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("no seccomp filter can be set: {error}");
    let program = linux::program().map_err(|error| failed(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(&error))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;

    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule,
    };

    /// Memory, time, chance, waiting, signals to itself, the end.
    const FREE: [libc::c_long; 19] = [
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_set_robust_list,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// The filter.
    pub(super) fn program() -> Result<BpfProgram, BackendError> {
        let own = u64::from(std::process::id());
        let not_executable = SeccompCmpOp::MaskedEq(u64::from(libc::PROT_EXEC.unsigned_abs()));
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            FREE.into_iter().map(|call| (call, Vec::new())).collect();
        rules.insert(libc::SYS_read, vec![only(0, SeccompCmpOp::Eq, 0)?]);
        for call in [libc::SYS_write, libc::SYS_writev] {
            rules.insert(call, vec![only(0, SeccompCmpOp::Eq, 1)?, only(0, SeccompCmpOp::Eq, 2)?]);
        }
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![only(2, not_executable.clone(), 0)?]);
        }
        // `abort` of a stack that overflowed.
        rules.insert(libc::SYS_tgkill, vec![only(0, SeccompCmpOp::Eq, own)?]);
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter =
            SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
        filter.try_into()
    }

    fn only(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])
    }
}
