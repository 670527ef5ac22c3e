import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdir, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { withApp, withCli } from './support/cli.js'
import { fileInput } from './support/index.js'

const paths = (files: { path: string }[]) => files.map(({ path }) => path)

describe('import', () => {
  test('stores the files that git would list', withCli(async ({ jsonLines, json, write }) => {
    await write({
      'app/.gitignore': 'node_modules\n*.log\n!kept.log\n',
      'app/node_modules/a/index.js': 'x',
      'app/debug.log': 'x',
      'app/kept.log': 'x',
      'app/.env.example': 'x',
      'app/.git/config': 'x',
      'app/deep/.gitignore': 'generated',
      'app/deep/generated/a': 'x',
      'app/deep/own': 'x',
    })
    await json('import', 'app')
    const kept = ['.env.example', '.gitignore', 'deep/.gitignore', 'deep/own', 'kept.log']
    assert.deepEqual(paths(await jsonLines('files', 'app')), kept)
    const all = await json('import', 'app', '--no-ignore', '--dry-run')
    assert.deepEqual(paths(all.changes), ['debug.log', 'deep/generated/a', 'node_modules/a/index.js'])
  }))

  test('skips files that are not text or too large, and reports them', withCli(async ({ json, text, write }) => {
    await write({
      'app/zero': Buffer.from('a\0b'),
      'app/latin': Buffer.from([0x61, 0xe4]),
      'app/large': 'x'.repeat((1 << 20) + 1),
      'app/exact': 'x'.repeat(1 << 20),
      'app/bom': '\ufeffbom',
      'app/empty': '',
    })
    const imported = await json('import', 'app', '--max-size', '1')
    assert.deepEqual(imported.skipped, [
      { path: 'large', reason: 'too-large' },
      { path: 'latin', reason: 'binary' },
      { path: 'zero', reason: 'binary' },
    ].sort((a, b) => (a.path < b.path ? -1 : 1)))
    assert.equal(imported.created, 3)
    assert.equal(await text('show', 'bom', '--content'), '\ufeffbom')
    assert.match(await text('import', 'app', '--max-size', '1'), /skipped 2, no text:\n {2}latin\n {2}zero\n/)
  }))

  test('does not import its own data or backups', withCli(async ({ base, jsonLines, text, write }) => {
    await write({ 'main.ts': 'x', 'data/own.json': '{}' })
    await text('import', '.', '--name', 'here')
    await text('backup', 'one')
    await text('import', '.')
    assert.deepEqual(paths(await jsonLines('files', 'here')), ['data/own.json', 'main.ts'])
    assert.ok((await readdir(join(base, 'data'))).includes('project_storage'))
  }))

  test('refuses to import a part of the storage', withApp(async ({ error }) => {
    for (const own of ['data/project_storage', 'data/project_storage/.storage']) {
      assert.equal((await error(2, 'import', own)).code, 'USAGE')
    }
  }))

  test('changes files without a new version with --in-place', withApp(async ({ jsonLines, json, write }) => {
    await write({ 'app/src/main.ts': 'third\n' })
    const imported = await json('import', 'app', '--in-place')
    assert.deepEqual(imported.changes, [{ path: 'src/main.ts', action: 'changed' }])
    assert.deepEqual((await jsonLines('files', 'app')).map(({ version }) => version), [1, 2])
  }))

  test('deletes missing files only with --prune and confirmation', withApp(async ({ base, error, json, jsonLines }) => {
    await rm(join(base, 'app/src/main.ts'))
    assert.equal((await json('import', 'app')).missing, 1)
    assert.equal((await error(6, 'import', 'app', '--prune')).code, 'CONFIRMATION_REQUIRED')
    const pruned = await json('import', 'app', '--prune', '--yes')
    assert.deepEqual(pruned.changes, [{ path: 'src/main.ts', action: 'removed' }])
    assert.deepEqual(paths(await jsonLines('files', 'app', '--all-versions')), ['README.md'])
  }))

  test('deletes all files with the path of a missing one', withCli(async ({ base, json, jsonLines, open }) => {
    const storage = open()
    const project = await storage.create({ name: 'twice', path: '/srv/twice' })
    const files = storage.getFileStorage(project.id)
    for (const path of ['gone', '/srv/twice/gone', 'gone']) await files.create(fileInput(path))
    await storage.close()
    await mkdir(join(base, 'empty'))
    assert.equal((await json('import', 'empty', '--project', 'twice')).missing, 3)
    assert.equal((await json('import', 'empty', '--project', 'twice', '--prune', '--yes')).removed, 3)
    assert.deepEqual(await jsonLines('files', 'twice'), [])
  }))

  test('reports what it would do and changes nothing with --dry-run', withApp(async ({ base, json, jsonLines, text, write }) => {
    await write({ 'app/src/main.ts': 'changed', 'app/new.ts': 'new' })
    await rm(join(base, 'app', 'README.md'))
    const tried = await json('import', 'app', '--dry-run', '--prune')
    assert.deepEqual([tried.created, tried.changed, tried.removed, tried.missing], [1, 1, 1, 0])
    assert.deepEqual(paths(await jsonLines('files', 'app')), ['README.md', 'src/main.ts'])
    assert.equal(await text('show', 'src/main.ts', '--content'), 'export const port = 8080\n')
  }))

  test('counts a file as missing if a directory replaced it or a file replaced its directory', withApp(async ({ base, json, write }) => {
    await rm(join(base, 'app', 'src'), { recursive: true })
    await rm(join(base, 'app', 'README.md'))
    await write({ 'app/src': 'a file now', 'app/README.md/inside': 'a directory now' })
    const imported = await json('import', 'app')
    assert.deepEqual([imported.created, imported.missing], [2, 2])
  }))

  test('stores into the project that --project names', withApp(async ({ json, jsonLines, write }) => {
    await write({ 'other/new.ts': 'x' })
    const { project } = await json('import', 'other', '--project', 'app')
    assert.deepEqual([project.name, project.created], ['app', false])
    assert.deepEqual(paths(await jsonLines('files', 'app')), ['README.md', 'new.ts', 'src/main.ts'])
  }))

  test('writes many files in several batches', withCli(async ({ jsonLines, json, write }) => {
    const names = Array.from({ length: 600 }, (_, at) => `${String(at).padStart(4, '0')}.ts`)
    await write(Object.fromEntries(names.map((name) => [`app/${name}`, name])))
    assert.equal((await json('import', 'app')).created, names.length)
    assert.deepEqual(paths(await jsonLines('files', 'app')), names)
    assert.equal((await json('import', 'app')).unchanged, names.length)
  }))

  if (process.platform !== 'win32') {
    test('follows no links and waits for no pipes', withCli(async ({ base, json, write }) => {
      await write({ 'app/file': 'x', 'outside/secret': 'x' })
      await symlink('../outside', join(base, 'app/directory'))
      await symlink('../outside/secret', join(base, 'app/link'))
      execFileSync('mkfifo', [join(base, 'app/pipe')])
      const imported = await json('import', 'app')
      assert.deepEqual(paths(imported.changes), ['file'])
      assert.deepEqual(imported.skipped, [
        { path: 'directory', reason: 'symbolic-link' },
        { path: 'link', reason: 'symbolic-link' },
        { path: 'pipe', reason: 'no-file' },
      ])
    }))
  }
})

describe('export', () => {
  test('gives back what was imported', withApp(async ({ base, json }) => {
    const exported = await json('export', 'app', 'out/deep')
    assert.deepEqual([exported.written, exported.leftOut], [2, []])
    assert.equal(await readFile(join(base, 'out/deep/src/main.ts'), 'utf8'), 'export const port = 8080\n')
    assert.deepEqual((await readdir(join(base, 'out/deep'), { recursive: true })).sort(), ['README.md', 'src', 'src/main.ts'].map((path) => join(path)))
  }))

  test('writes nothing if a file is in the way, unless --force is given', withApp(async ({ base, error, json, write }) => {
    await write({ 'out/src/main.ts': 'mine' })
    assert.equal((await error(6, 'export', 'app', 'out')).code, 'WOULD_OVERWRITE')
    assert.deepEqual(await readdir(join(base, 'out')), ['src'])
    assert.equal((await json('export', 'app', 'out', '--force')).written, 2)
    assert.equal(await readFile(join(base, 'out/src/main.ts'), 'utf8'), 'export const port = 8080\n')
  }))

  test('names a few of the files that are in the way, and says how many there are', withCli(async ({ error, json, write }) => {
    const names = Array.from({ length: 8 }, (_, n) => `${n}.txt`)
    await write(Object.fromEntries(names.map((name) => [`app/${name}`, name])))
    await json('import', 'app')
    await write(Object.fromEntries(names.map((name) => [`out/${name}`, 'mine'])))
    assert.match((await error(6, 'export', 'app', 'out')).message, /in 0\.txt, 1\.txt, 2\.txt, 3\.txt, 4\.txt and 3 more; nothing was written/)
  }))

  test('writes the later of two files with one path and reports the other', withCli(async ({ base, open, run }) => {
    const storage = open()
    const project = await storage.create({ name: 'twice', path: '/srv/twice' })
    const files = storage.getFileStorage(project.id)
    const created = []
    for (const path of ['x', '/srv/twice/x', '/srv/twice/y', 'y']) created.push(await files.create(fileInput(path)))
    await storage.close()
    const { code, stdout } = await run('export', 'twice', 'out', '--json')
    assert.equal(code, 3)
    assert.deepEqual(JSON.parse(stdout).leftOut.map(({ id }: { id: number }) => id).sort(), [created[0]!.id, created[2]!.id].sort())
    for (const [name, { content }] of [['x', created[1]!], ['y', created[3]!]] as const) assert.equal(await readFile(join(base, 'out', name), 'utf8'), content)
  }))

  test('leaves out what the file system has no room for in a name, and writes the rest', withCli(async ({ base, open, run }) => {
    const storage = open()
    const project = await storage.create({ name: 'long', path: '/srv/long' })
    const files = storage.getFileStorage(project.id)
    const long = [`${'n'.repeat(300)}`, `new/${'n'.repeat(300)}/x`, `${'deep/'.repeat(8000)}x`]
    await files.createMany(['a', ...long, 'z'].map((path) => fileInput(path)))
    await storage.close()
    for (const written of [2, 0]) {
      const { code, stdout } = await run('export', 'long', 'out', '--json')
      assert.equal(code, 3)
      const exported = JSON.parse(stdout)
      assert.deepEqual([exported.written, paths(exported.leftOut).sort()], [written, long.toSorted()])
    }
    assert.deepEqual((await readdir(join(base, 'out'))).sort(), ['a', 'z'])
  }))

  test('writes nothing into the storage, even with --force', withCli(async ({ base, json, open, run, text }) => {
    const storage = open()
    const project = await storage.create({ name: 'own', path: base })
    const own = ['data/project_storage/projects.json', 'data/project_storage/.storage/new', 'data/.restore/intent.json', 'backups/x']
    await storage.getFileStorage(project.id).createMany(['data/mine', ...own].map((path) => fileInput(path)))
    await storage.close()
    const { code, stdout } = await run('export', 'own', '.', '--force', '--json')
    assert.equal(code, 3)
    assert.deepEqual(paths(JSON.parse(stdout).leftOut).sort(), own.toSorted())
    assert.equal((await json('verify')).ok, true)
    // Elsewhere, these names mean nothing. What is damaged does not keep files back.
    await writeFile(join(base, 'data/.databases.json'), '{')
    for (const elsewhere of ['elsewhere', 'backups/files']) await text('export', 'own', elsewhere)
  }))

  if (process.platform !== 'win32') {
    test('keeps the permissions and the owner of a file that it overwrites', withApp(async ({ base, text, write }) => {
      await write({ 'out/README.md': 'mine' })
      const file = join(base, 'out/README.md')
      await chmod(file, 0o640)
      // Only the superuser may give files away.
      if (process.getuid?.() === 0) await chown(file, 12_345, 23_456)
      const before = await stat(file)
      await text('export', 'app', 'out', '--force')
      const { mode, uid, gid, size } = await stat(file)
      assert.deepEqual([mode, uid, gid, size], [before.mode, before.uid, before.gid, 13])
    }))

    test('follows no links, and leaves out what lies behind them', withApp(async ({ base, run, write }) => {
      await write({ 'elsewhere/main.ts': 'mine', 'out/kept': 'mine' })
      await symlink(join(base, 'elsewhere'), join(base, 'out/src'))
      for (const force of [[], ['--force']]) {
        const { code, stdout } = await run('export', 'app', 'out', '--json', ...force)
        assert.deepEqual([code, JSON.parse(stdout).leftOut.map(({ path }: { path: string }) => path)], [3, ['src/main.ts']])
      }
      assert.equal(await readFile(join(base, 'elsewhere/main.ts'), 'utf8'), 'mine')
    }))
  }

  test('writes nothing outside its target, whatever the stored paths are', withCli(async ({ base, open, run }) => {
    const storage = open()
    const project = await storage.create({ name: 'hostile', path: '/srv/hostile' })
    const hostile = ['../up', '../../up', '/etc/octoprompt-up', 'a/../../up', '.git/hooks/post-commit', 'nul\0byte', 'good/file', 'good', '..']
    const files = storage.getFileStorage(project.id)
    await files.createMany(hostile.map((path) => fileInput(path, 'hostile')))
    await files.createMany([fileInput('/srv/hostile/inside', 'inside'), fileInput('half', '\ud83d')])
    await storage.close()
    await mkdir(join(base, 'parent'))
    const { code, stdout } = await run('export', 'hostile', 'parent/out', '--json')
    assert.equal(code, 3)
    const { leftOut, written } = JSON.parse(stdout)
    // Only one of `good` and `good/file` can exist.
    assert.equal(written, 2)
    assert.equal(leftOut.length, hostile.length)
    assert.deepEqual(await readdir(join(base, 'parent')), ['out'])
    assert.deepEqual((await readdir(join(base, 'parent/out'))).sort(), ['good', 'inside'])
  }))
})
