// Runs runc's and containerd's own cgroup code, and moby's mountinfo parser, on the trees
// below a root, and prints what each step gave:
//
//	containers ROOT NAME PID
//
// ROOT has proc, cgroup2 and cgroup1/CONTROLLER; groups are called NAME; the process PID is
// put into them. runc looks for its magic number wherever it opens a
// cgroup's file; the variable for its own tests tells it not to, as the answer of statfs(2)
// that a supervisor gives would.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	ctr1 "github.com/containerd/cgroups"
	ctr2 "github.com/containerd/cgroups/v2"
	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runc/libcontainer/cgroups"
	"github.com/opencontainers/runc/libcontainer/cgroups/fs"
	"github.com/opencontainers/runc/libcontainer/cgroups/fs2"
	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var root, name string
var pid int

// say prints the outcome of a step: its error's errno where it has one.
func say(step string, err error, values ...interface{}) {
	text := strings.TrimSpace(fmt.Sprintln(values...))
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			text += " errno " + strconv.Itoa(int(errno))
		} else {
			text += " " + strings.ReplaceAll(err.Error(), root, "ROOT")
		}
	}
	fmt.Printf("%s: %s\n", step, strings.TrimSpace(text))
}

func read(parts ...string) string {
	bytes, err := os.ReadFile(filepath.Join(append([]string{root}, parts...)...))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(bytes))
}

func shape(pids []int, err error) string {
	return fmt.Sprint(len(pids), err)
}

// controllers of version 1 that are there, of those that the code below limits.
func controllers() []string {
	var found []string
	for _, one := range []string{"cpu", "cpuset", "freezer", "memory", "pids"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup1", one)); err == nil {
			found = append(found, one)
		}
	}
	return found
}

func has(list []string, one string) bool {
	for _, item := range list {
		if item == one {
			return true
		}
	}
	return false
}

func runc1() {
	paths := map[string]string{}
	for _, one := range controllers() {
		paths[one] = filepath.Join(root, "cgroup1", one, name+"-runc1")
	}
	resources := &configs.Resources{SkipDevices: true, Memory: 64 << 20, PidsLimit: 7, CpuShares: 512}
	manager, err := fs.NewManager(&configs.Cgroup{Name: name, Resources: resources}, paths)
	say("runc 1 manager", err)
	if err != nil {
		return
	}
	say("runc 1 apply", manager.Apply(pid))
	say("runc 1 set", manager.Set(resources))
	say("runc 1 exists", nil, manager.Exists())
	say("runc 1 pids", nil, shape(manager.GetPids()))
	say("runc 1 all pids", nil, shape(manager.GetAllPids()))
	stats, err := manager.GetStats()
	say("runc 1 stats", err)
	if err == nil && has(controllers(), "memory") {
		say("runc 1 memory limit", nil, stats.MemoryStats.Usage.Limit)
	}
	if err == nil && has(controllers(), "pids") {
		say("runc 1 pids limit", nil, stats.PidsStats.Limit, stats.PidsStats.Current)
	}
	if has(controllers(), "freezer") {
		say("runc 1 freeze", manager.Freeze(configs.Frozen))
		state, err := manager.GetFreezerState()
		say("runc 1 frozen", err, state)
		say("runc 1 thaw", manager.Freeze(configs.Thawed))
	}
	if has(controllers(), "memory") {
		kills, err := manager.OOMKillCount()
		say("runc 1 kills", err, kills)
	}
	leave(paths)
	say("runc 1 destroy", manager.Destroy())
	say("runc 1 exists", nil, manager.Exists())
}

// leave moves the process back to the root of each hierarchy.
func leave(paths map[string]string) {
	for _, path := range paths {
		cgroups.WriteCgroupProc(filepath.Dir(path), pid)
	}
}

func runc2() {
	path := filepath.Join(root, "cgroup2", name+"-runc2")
	say("runc 2 mkdir", os.Mkdir(path, 0o755))
	resources := &configs.Resources{SkipDevices: true}
	manager, err := fs2.NewManager(&configs.Cgroup{Name: name, Resources: resources}, path)
	say("runc 2 manager", err)
	if err != nil {
		return
	}
	say("runc 2 join", cgroups.WriteCgroupProc(path, pid))
	say("runc 2 set", manager.Set(resources))
	say("runc 2 exists", nil, manager.Exists())
	say("runc 2 pids", nil, shape(manager.GetPids()))
	say("runc 2 freeze", manager.Freeze(configs.Frozen))
	state, err := manager.GetFreezerState()
	say("runc 2 frozen", err, state)
	say("runc 2 thaw", manager.Freeze(configs.Thawed))
	_, err = manager.GetStats()
	say("runc 2 stats", err)
	say("runc 2 destroy while it is used", os.Remove(path))
	cgroups.WriteCgroupProc(filepath.Dir(path), pid)
	say("runc 2 destroy", manager.Destroy())
}

func containerd1() {
	hierarchy := func() ([]ctr1.Subsystem, error) {
		var all []ctr1.Subsystem
		at := filepath.Join(root, "cgroup1")
		if has(controllers(), "memory") {
			all = append(all, ctr1.NewMemory(at))
		}
		if has(controllers(), "pids") {
			all = append(all, ctr1.NewPids(at))
		}
		if has(controllers(), "cpuset") {
			all = append(all, ctr1.NewCpuset(at))
		}
		if has(controllers(), "freezer") {
			all = append(all, ctr1.NewFreezer(at))
		}
		return all, nil
	}
	memory, most := int64(64<<20), int64(9)
	resources := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory},
		Pids:   &specs.LinuxPids{Limit: most},
	}
	if len(controllers()) == 0 {
		return
	}
	group, err := ctr1.New(hierarchy, ctr1.StaticPath("/"+name+"-ctr1"), resources)
	say("containerd 1 new", err)
	if err != nil {
		return
	}
	say("containerd 1 add", group.Add(ctr1.Process{Pid: pid}))
	for _, subsystem := range group.Subsystems() {
		processes, err := group.Processes(subsystem.Name(), false)
		say("containerd 1 processes of "+string(subsystem.Name()), err, len(processes))
	}
	metrics, err := group.Stat(ctr1.IgnoreNotExist)
	say("containerd 1 stat", err)
	if err == nil && metrics.Memory != nil {
		say("containerd 1 memory", nil, metrics.Memory.Usage.Limit)
	}
	if err == nil && metrics.Pids != nil {
		say("containerd 1 pids", nil, metrics.Pids.Current, metrics.Pids.Limit)
	}
	say("containerd 1 state", nil, group.State())
	if has(controllers(), "freezer") {
		say("containerd 1 freeze", group.Freeze())
		say("containerd 1 thaw", group.Thaw())
	}
	paths := map[string]string{}
	for _, one := range controllers() {
		paths[one] = filepath.Join(root, "cgroup1", one, name)
	}
	leave(paths)
	say("containerd 1 delete", group.Delete())
}

func containerd2() {
	mountpoint, group := filepath.Join(root, "cgroup2"), "/"+name+"-ctr2"
	manager, err := ctr2.NewManager(mountpoint, group, &ctr2.Resources{})
	say("containerd 2 new", err)
	if err != nil {
		return
	}
	say("containerd 2 add", manager.AddProc(uint64(pid)))
	processes, err := manager.Procs(false)
	say("containerd 2 processes", err, len(processes))
	found, err := manager.RootControllers()
	sort.Strings(found)
	say("containerd 2 root's controllers", err, found)
	found, err = manager.Controllers()
	say("containerd 2 controllers", err, found)
	_, err = manager.Stat()
	say("containerd 2 stat", err)
	say("containerd 2 freeze", manager.Freeze())
	// It does not wait for what it has asked for.
	events := read("cgroup2", group, "cgroup.events")
	for i := 0; i < 1000 && !strings.Contains(events, "frozen 1"); i++ {
		time.Sleep(10 * time.Millisecond)
		events = read("cgroup2", group, "cgroup.events")
	}
	say("containerd 2 events", nil, strings.ReplaceAll(events, "\n", ", "))
	say("containerd 2 thaw", manager.Thaw())
	cgroups.WriteCgroupProc(mountpoint, pid)
	say("containerd 2 delete", manager.Delete())
}

func mounts() {
	file, err := os.Open(filepath.Join(root, "proc", strconv.Itoa(pid), "mountinfo"))
	say("moby open", err)
	if err != nil {
		return
	}
	defer file.Close()
	infos, err := mountinfo.GetMountsFromReader(file, mountinfo.FSTypeFilter("proc", "sysfs", "cgroup", "cgroup2"))
	say("moby mounts", err)
	for _, info := range infos {
		// Those that other tests make meanwhile are not of interest.
		if strings.HasPrefix(info.Mountpoint, "/proc") || strings.HasPrefix(info.Mountpoint, "/sys") {
			say("moby mount", nil, info.Mountpoint, info.FSType, info.Major, info.Minor, info.Options)
		}
	}
}

func main() {
	root, name = os.Args[1], os.Args[2]
	pid, _ = strconv.Atoi(os.Args[3])
	if _, err := cgroups.OpenFile(filepath.Join(root, "cgroup2"), "cgroup.procs", os.O_RDONLY); err != nil {
		say("runc without a supervisor", err)
	}
	cgroups.TestMode = true
	groups, err := cgroups.ParseCgroupFile(filepath.Join(root, "proc", os.Args[3], "cgroup"))
	say("runc cgroups of a process", err, len(groups), groups[""])
	runc1()
	runc2()
	containerd1()
	containerd2()
	mounts()
}
