// Prints what this process consumes in some seconds of doing nothing. It does not close what it opened: if that kept the
// process alive, the parent would give up waiting for it.
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'

const [what, path, seconds] = process.argv.slice(2)
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

function state() {
  let switches = 0
  const tasks = readdirSync('/proc/self/task')
  for (const task of tasks) {
    const status = readFileSync(`/proc/self/task/${task}/status`, 'utf8')
    for (const [, count] of status.matchAll(/^(?:non)?voluntary_ctxt_switches:\s+(\d+)$/gm)) switches += Number(count)
  }
  const { user, system } = process.cpuUsage()
  return { switches, threads: tasks.length, microseconds: user + system }
}

if (what === 'a storage') {
  mkdirSync(path)
  const { ProjectStorageV2 } = await import('../../index.mjs')
  const storage = new ProjectStorageV2({ basePath: path })
  const project = await storage.create({ name: 'idle', path: '/idle' })
  await storage.addFile(project.id, { name: 'a', path: 'a', content: 'a' })
}
// Wait until the JSON files are written and the threads that wrote them have ended.
await pause(12_500)
const before = state()
await pause(seconds * 1000)
const after = state()
console.log(JSON.stringify({
  switchesPerSecond: (after.switches - before.switches) / seconds,
  cpuMicrosecondsPerSecond: (after.microseconds - before.microseconds) / seconds,
  threads: after.threads,
}))
