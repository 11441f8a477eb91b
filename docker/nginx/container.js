// What NGINX's container uses and may use, from its cgroup (either version), under the names of
// sightglass/metrics/container.py. What the cgroup does not say is left out.

import fs from 'fs';

const CGROUP = '/sys/fs/cgroup/';
const UNLIMITED = Math.pow(2, 60); // bytes; version 1 has a number about as high as it can be where there is no limit
const TICKS = 100; // a second, of the times in /proc, on every machine Linux runs on

// Each is a number, or undefined, or throws.
const MEASURES = [
    ['sightglass_container_memory_working_set_bytes', 'gauge', 'Memory in use without inactive page cache.', used],
    ['sightglass_container_spec_memory_limit_bytes', 'gauge', 'Memory the container may use.', memory],
    ['sightglass_container_oom_events_total', 'counter', 'Processes the kernel killed at that limit.', killed],
    ['sightglass_container_cpu_usage_seconds_total', 'counter', 'Processor time used.', cpu],
    ['sightglass_container_spec_cpu_cores', 'gauge', 'Processors the container may use at once.', cores],
    ['sightglass_container_cpu_cfs_throttled_seconds_total', 'counter',
        'Time its processes waited because that limit was used up.', throttled],
    ['process_start_time_seconds', 'gauge', 'When the container was started, in seconds since the epoch.', started],
];

// [name, type, help, value] of each that is known.
function measured() {
    const found = [];
    for (const [name, type, help, read] of MEASURES) {
        try {
            const value = read();
            if (value !== undefined && !isNaN(value)) {
                found.push([name, type, help, value]);
            }
        } catch (_) { // no such file
        }
    }
    return found;
}

function used() {
    const v2 = text('memory.current');
    const [all, inactive] = v2 === undefined
        ? [text('memory/memory.usage_in_bytes'), table('memory/memory.stat', 'total_inactive_file')]
        : [v2, table('memory.stat', 'inactive_file')];
    return Math.max(0, Number(all) - inactive);
}

function memory() {
    const limit = Number(text('memory.max') || text('memory/memory.limit_in_bytes')); // NaN: max
    return limit < UNLIMITED ? limit : undefined;
}

function killed() {
    return table(text('memory.events') === undefined ? 'memory/memory.oom_control' : 'memory.events', 'oom_kill');
}

function cpu() {
    return text('cpu.stat') === undefined
        ? Number(text('cpuacct/cpuacct.usage')) / 1e9
        : table('cpu.stat', 'usage_usec') / 1e6;
}

function cores() {
    const max = text('cpu.max');
    const [quota, period] = max === undefined
        ? [text('cpu/cpu.cfs_quota_us'), text('cpu/cpu.cfs_period_us')]
        : max.split(' ');
    return Number(quota) > 0 ? Number(quota) / Number(period) : undefined;
}

function throttled() {
    return text('cpu.stat') === undefined
        ? table('cpu/cpu.stat', 'throttled_time') / 1e9
        : table('cpu.stat', 'throttled_usec') / 1e6;
}

// proc(5): the 22nd field of a process's stat, counted after its name, is when it started, in ticks since the boot.
function started() {
    const boot = /^btime (\d+)$/m.exec(fs.readFileSync('/proc/stat', 'utf8'))[1];
    const after = fs.readFileSync('/proc/1/stat', 'utf8').replace(/^.*\) /, '').split(' ');
    return Number(boot) + Number(after[19]) / TICKS;
}

function text(file) {
    try {
        return fs.readFileSync(CGROUP + file, 'utf8').trim();
    } catch (_) {
        return undefined;
    }
}

function table(file, name) {
    const line = text(file).split('\n').find((one) => one.startsWith(`${name} `));
    return Number(line.slice(name.length + 1));
}

export default { measured };
