// The environment in which the benchmark runs.
import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'

export const bun = globalThis.Bun !== undefined

export const runtime = bun ? `Bun ${Bun.version}` : `Node ${process.versions.node}`

/** The name of the result files of this runtime. */
export const resultName = bun ? 'bun' : 'node'

function fileSystem(directory) {
  if (process.platform !== 'linux') return undefined
  try {
    return execFileSync('stat', ['-f', '-c', '%T', directory], { encoding: 'utf8' }).trim().replace('ext2/ext3', 'ext4')
  } catch {
    return undefined
  }
}

export function describeMachine(directory) {
  const [{ model }] = cpus()
  const memory = `${Math.round(totalmem() / 2 ** 30)} GB`
  return [`${cpus().length} × ${model.trim()}`, memory, process.platform, fileSystem(directory), runtime].filter(Boolean).join(', ')
}
