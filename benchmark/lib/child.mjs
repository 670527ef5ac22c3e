// Measurements that need a process of their own.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bun } from './environment.mjs'

/** Runs a program under the same runtime and returns the JSON that it printed, parsed. */
export function measureInChild(program, ...args) {
  const path = fileURLToPath(new URL(`../children/${program}`, import.meta.url))
  const flags = bun ? [] : ['--expose-gc']
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, [...flags, path, ...args.map(String)], {
    encoding: 'utf8',
    timeout: 120_000,
  })
  if (status !== 0) throw new Error(`${program} ended with ${status ?? signal}: ${stderr}`)
  return JSON.parse(stdout)
}
