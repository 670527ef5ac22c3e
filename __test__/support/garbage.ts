// Garbage collection at once, under Node as under Bun.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export function collectGarbage() {
  if (process.versions.bun !== undefined) return (globalThis as any).Bun.gc(true)
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}
