// Running the command line as a person or a script does: as a process, under the runtime that runs the tests.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { withDirectory } from './index.js'
import type { Context } from './index.js'

export const bin = join(__dirname, '../../bin/octoprompt-storage.js')

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

export interface CliOptions {
  cwd: string
  env?: Record<string, string>
  /** The program to run instead of this package's own. */
  program?: string
  /** Called with the first output, of either kind; `close` closes the pipe through which it comes. */
  onOutput?: (close: () => void) => void
}

/** Returns the environment of this process, without the variables that change how commands look. */
export const environment = (more: Record<string, string> = {}) => {
  const { NO_COLOR, FORCE_COLOR, OCTOPROMPT_STORAGE_PATH, ...rest } = process.env
  return { ...rest, ...more }
}

export function cli(args: string[], { cwd, env, program = bin, onOutput }: CliOptions): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { cwd, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] })
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      if (printed.stdout + printed.stderr === '') onOutput?.(() => child[name].destroy())
      printed[name] += chunk
    })
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...printed }))
  })
}

export interface CliContext extends Context {
  /** Runs a command in the test's directory. */
  run(...args: string[]): Promise<Ended>
  /** Runs a command that must succeed, and returns what it printed. */
  text(...args: string[]): Promise<string>
  /** Does the same with `--json`, and returns the document. */
  json(...args: string[]): Promise<any>
  /** Does the same for a command that prints a document on each line. */
  jsonLines(...args: string[]): Promise<any[]>
  /** Runs a command that must fail, and returns its error. */
  error(exit: number, ...args: string[]): Promise<{ code: string; message: string }>
  /** Writes files below the test's directory. */
  write(files: Record<string, string | Buffer>): Promise<void>
}

/** Makes the body of a test of commands, with a directory of its own. */
export const withCli = (work: (context: CliContext) => Promise<void>) =>
  withDirectory(async (context) => {
    const run = (...args: string[]) => cli(args, { cwd: context.base })
    const text = async (...args: string[]) => {
      const { code, stdout, stderr } = await run(...args)
      assert.equal(code, 0, stderr)
      return stdout
    }
    const jsonLines = async (...args: string[]) =>
      (await text(...args, '--json')).split('\n').filter(Boolean).map((line) => JSON.parse(line))
    const json = async (...args: string[]) => JSON.parse(await text(...args, '--json'))
    const error = async (exit: number, ...args: string[]) => {
      const { code, stdout, stderr } = await run(...args, '--json')
      assert.equal(stdout, '')
      assert.equal(code, exit, stderr)
      return JSON.parse(stderr).error
    }
    const write = async (files: Record<string, string | Buffer>) => {
      for (const [path, content] of Object.entries(files)) {
        await mkdir(dirname(join(context.base, path)), { recursive: true })
        await writeFile(join(context.base, path), content)
      }
    }
    await work({ ...context, run, text, json, jsonLines, error, write })
  })

/** Does the same with `app`, a project of two files, one of which has two versions. */
export const withApp = (work: (context: CliContext) => Promise<void>) =>
  withCli(async (context) => {
    await context.write({ 'app/README.md': '# Web server\n', 'app/src/main.ts': 'export const port = 80\n' })
    await context.text('import', 'app')
    await context.write({ 'app/src/main.ts': 'export const port = 8080\n' })
    await context.text('import', 'app')
    await work(context)
  })
