import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { projectInput, runChild, withDirectory } from './support/index.js'

interface Said {
  created?: number
  name?: string
  version?: number
  content?: string
  listed?: number
}

/** Runs one part of the constellation and returns what it said. */
async function play(role: string, base: string, ...args: unknown[]): Promise<Said[]> {
  const { lines, code, stderr } = await runChild('constellation.mjs', [role, base, ...args.map(String)])
  assert.equal(code, 0, stderr)
  return lines.map((line) => JSON.parse(line))
}

describe('a server, a second process on stdio and a command-line tool', () => {
  test('work on one directory and lose no acknowledged write', withDirectory(async ({ base, open }) => {
    const setUp = open()
    const { id } = await setUp.create(projectInput())
    const file = await setUp.addFile(id, { name: 'a', path: 'a', content: 'first' })
    await setUp.close()
    const tools = (async () => {
      const said: Said[] = []
      // A person calls the tool now and then: each call opens the storage, does one thing and closes it.
      for (let n = 0; n < 5; n++) said.push(...(await play('tool', base, id, file.id, n)))
      return said
    })()
    const [server, stdio, tool] = await Promise.all([play('server', base, id, file.id, 60), play('stdio', base, id, file.id, 60), tools])
    const storage = open()
    const projects = await storage.readProjects()
    for (const { created, name } of [...server, ...stdio, ...tool]) if (created) assert.equal(projects[created]?.name, name)
    const versions = await storage.getFileVersions(id, file.id)
    assert.deepEqual(versions.map(({ version }) => version), versions.map((_, at) => at + 1))
    assert.deepEqual(versions.map(({ isLatest }) => isLatest), versions.map((_, at) => at === versions.length - 1))
    for (const { version, content } of [...server, ...stdio, ...tool]) {
      if (version) assert.equal(versions[version - 1]?.content, content)
    }
    assert.equal(versions.length, 1 + [...server, ...stdio, ...tool].filter(({ version }) => version).length)
    // The count that one process sees never decreases, because projects are only created.
    for (const said of [server, stdio, tool]) {
      const counts = said.flatMap(({ listed }) => listed ?? [])
      assert.deepEqual(counts, counts.toSorted((a, b) => a - b))
    }
    const report = await storage.verify()
    assert.ok(report.ok, String(report))
  }))
})
