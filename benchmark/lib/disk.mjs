// Waiting for the disk, in another process. Starting one for each wait would copy this process's page tables, and whichever
// side writes to memory next would pay for that.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

let waiter

/** Resolves once everything written by any process has reached the disk. Does nothing on Windows. */
export async function settled() {
  if (process.platform === 'win32') return
  waiter ??= spawn('sh', ['-c', 'while read -r _; do sync; echo; done'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const answer = once(waiter.stdout, 'data')
  waiter.stdin.write('\n')
  await answer
}
