// Waiting for the disk. Another process does it: one begun for each wait would copy this one's page tables, for which
// whoever writes to memory next would pay.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

let waiter

/** Resolves when everything that anybody wrote has reached the disk. Does nothing on Windows. */
export async function settled() {
  if (process.platform === 'win32') return
  waiter ??= spawn('sh', ['-c', 'while read -r _; do sync; echo; done'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const answer = once(waiter.stdout, 'data')
  waiter.stdin.write('\n')
  await answer
}
