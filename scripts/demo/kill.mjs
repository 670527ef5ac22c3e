// Killing a process while it writes.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('child-writer.mjs', import.meta.url))

/** Starts a writer, kills it after `count` acknowledged writes, and returns all that it acknowledged. */
export function killWriter(basePath, projectId, count) {
  const child = spawn(process.execPath, [script, basePath, String(projectId)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const acknowledged = []
  let rest = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()
    for (const line of lines) {
      const [id, at] = line.split(' ').map(Number)
      acknowledged.push({ id, content: `line ${at}\n`.repeat(1 + (at % 200)) })
    }
    if (acknowledged.length >= count) child.kill('SIGKILL')
  })
  child.stderr.setEncoding('utf8').on('data', (chunk) => (errors += chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve(acknowledged)
      else reject(new Error(`the writing process ended by itself (${code}):\n${errors}`))
    })
  })
}
