// Packs the package and its platform packages as they are published, checks the tarballs, installs them into an empty
// project with npm and into a workspace of a monorepo with Bun, and uses the package there by its name: the programs of the
// README and others, by import and require, on every runtime, from TypeScript, and compiled into one file.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { programs, readmePrograms } from './package/programs.mjs'
import { bun, inParallel, must, runtimes } from './package/run.mjs'
import { manifest, packageOf, platforms, stage, writeJson } from './package/stage.mjs'
import { ADDONS, StepError, findAddon, main, root, run } from './setup.mjs'

/** The most bytes of the main package, which has no code of the engine: if there are more, something strayed into it. */
const MOST_BYTES = 150_000

const bin = (name) => join(root, 'node_modules', name)

/** The platform of the addons that are built here. */
function thisPlatform() {
  const addon = findAddon(ADDONS[0])
  if (!addon) throw new StepError('the addons are not built: run `npm run build`')
  return basename(addon).split('.')[1]
}

/** Puts an addon into a package. For other machines, it is a dummy file, which nothing may ever load. */
function putAddon(name, platform, path) {
  if (platform === thisPlatform()) cpSync(findAddon(name), path)
  else writeFileSync(path, 'of another machine')
}

/** Packs everything below `directory`. Returns `{ main, platforms }`, tarballs by platform, and what npm says of each. */
async function pack(directory) {
  const staged = join(directory, 'stage')
  await stage(staged, putAddon)
  const folders = ['main', ...platforms].map((name) => join(staged, name))
  const args = ['pack', '--json', '--silent', '--pack-destination', directory, ...folders]
  const packed = Object.values(JSON.parse(await must('npm', args, { cwd: directory })))
  const named = new Map(packed.map((found) => [found.name, { ...found, tarball: join(directory, found.filename) }]))
  return {
    main: named.get(manifest.name),
    platforms: Object.fromEntries(platforms.map((platform) => [platform, named.get(packageOf(platform))])),
  }
}

/** Checks what npm says of the tarballs. */
function checkContents({ main, platforms }) {
  if (main.size > MOST_BYTES) throw new StepError(`${main.filename} has ${main.size} bytes`)
  for (const found of [main, ...Object.values(platforms)]) {
    const files = found.files.map(({ path }) => path)
    const missing = ['package.json', 'README.md', 'LICENSE'].filter((file) => !files.includes(file))
    if (missing.length > 0) throw new StepError(`${found.filename} lacks ${missing.join(', ')}`)
    const addons = files.filter((file) => file.endsWith('.node')).length
    if (addons !== (found === main ? 0 : ADDONS.length)) throw new StepError(`${found.filename} has ${addons} addons`)
    const stray = files.filter((file) => /\.(rs|toml|lock)$|^(src|__test__|benchmark|docs|target)\//.test(file))
    if (stray.length > 0) throw new StepError(`${found.filename} has ${stray.join(', ')}`)
    if (found.version !== manifest.version) throw new StepError(`${found.filename} has another version than ${manifest.version}`)
  }
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) {
    if (script in manifest.scripts) throw new StepError(`the package has a script ${script}`)
  }
}

const lintPackage = ({ main }) => [
  () => must(process.execPath, [bin('publint/src/cli.js'), main.tarball, '--strict']),
  () => must(process.execPath, [bin('@arethetypeswrong/cli/dist/index.js'), main.tarball, '--no-emoji']),
]

const files = (packed) => ({
  [manifest.name]: `file:${packed.main.tarball}`,
  ...Object.fromEntries(platforms.map((platform) => [packageOf(platform), `file:${packed.platforms[platform].tarball}`])),
})

/** Lends a project what programs of the README import besides the package. */
const lendDependencies = (directory) => symlinkSync(bin('zod'), join(directory, 'node_modules', 'zod'), 'junction')

function writePrograms(directory) {
  const tsconfig = {
    compilerOptions: {
      target: 'es2022',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [bin('@types')],
    },
    files: ['main.mts', 'main.cts'],
  }
  writeJson(join(directory, 'tsconfig.json'), tsconfig)
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(directory, name), text)
  readmePrograms().forEach((text, at) => writeFileSync(join(directory, `readme${at}.mjs`), text))
}

/** Creates an empty project into which npm installs the package. */
async function npmProject(directory, packed) {
  mkdirSync(directory)
  const { [manifest.name]: own, ...overrides } = files(packed)
  writeJson(join(directory, 'package.json'), { name: 'project', private: true, dependencies: { [manifest.name]: own }, overrides })
  await must('npm', ['install', '--ignore-scripts', '--offline', '--no-audit', '--no-fund'], { cwd: directory })
  return directory
}

/** Creates a monorepo with a workspace that depends on the package, installed by Bun. */
async function bunMonorepo(directory, packed) {
  const server = join(directory, 'packages', 'server')
  mkdirSync(server, { recursive: true })
  const { [manifest.name]: own, ...overrides } = files(packed)
  writeJson(join(directory, 'package.json'), { name: 'monorepo', private: true, workspaces: ['packages/*'], overrides })
  writeJson(join(server, 'package.json'), { name: 'server', private: true, type: 'module', dependencies: { [manifest.name]: own } })
  await must(bun, ['install', '--ignore-scripts'], { cwd: directory })
  return server
}

/** Returns the packages of this name's scope that npm installed, without the main package. */
function installedPlatforms(project) {
  const scope = dirname(manifest.name)
  return readdirSync(join(project, 'node_modules', scope)).map((name) => `${scope}/${name}`).filter((name) => name !== manifest.name)
}

/** Runs the programs of a project on every runtime, each with a directory of its own for its data. */
async function programRuns(directory, data) {
  const runs = []
  for (const [name, executable] of await runtimes()) {
    const place = join(data, name.replace(' ', ''))
    const own = ['main.mjs', 'main.cjs', ...(name === 'Bun' ? ['main.mts'] : [])]
    for (const program of own) {
      runs.push(async () => {
        const output = await must(executable, [program, join(place, program)], { cwd: directory })
        if (output.trim() !== 'stored and read') throw new StepError(`${name} ${program} printed:\n${output}`)
      })
    }
    runs.push(async () => {
      mkdirSync(place, { recursive: true })
      // One after another on the same data, as a reader would run them.
      for (const at of readmePrograms().keys()) await must(executable, [join(directory, `readme${at}.mjs`)], { cwd: place })
    })
  }
  return runs
}

/** Runs the command that the package installs: it runs migrations, and recognises the package's errors that they import. */
async function commandRun(project, data) {
  const command = join(project, 'node_modules', '.bin', 'octoprompt-storage')
  await must(command, ['--help'], { cwd: project })
  const migrate = (file) => ['migrate', '--file', file, '--base-path', data, '--json']
  const migrated = await must(command, migrate('migrations.mjs'), { cwd: project })
  if (!migrated.includes('"currentVersion":"1.0.0"')) throw new StepError(`the command printed:\n${migrated}`)
  const { code, output } = await run(command, migrate('refused.mjs'), { cwd: project })
  if (code !== 4 || !output.includes('"NOT_FOUND"')) throw new StepError(`the command ended with ${code}:\n${output}`)
}

/** Compiles the program into one file and runs it where neither the project nor its dependencies are. */
async function compiled(directory, target, data) {
  await must(bun, ['build', '--compile', 'main.mjs', '--outfile', target], { cwd: directory })
  const output = await must(target, [data], { cwd: dirname(target) })
  if (output.trim() !== 'stored and read') throw new StepError(`the compiled program printed:\n${output}`)
}

await main(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'octoprompt-package-'))
  const at = (name) => join(directory, name)
  try {
    const packed = await pack(directory)
    checkContents(packed)
    const [project, server] = await Promise.all([npmProject(at('project'), packed), bunMonorepo(at('monorepo'), packed)])
    const wanted = packageOf(thisPlatform())
    const installed = installedPlatforms(project).join(', ')
    if (installed !== wanted) throw new StepError(`npm installed ${installed}, not ${wanted} alone`)
    mkdirSync(join(server, 'node_modules'), { recursive: true })
    for (const place of [project, server]) {
      lendDependencies(place)
      writePrograms(place)
    }
    await inParallel([
      ...lintPackage(packed),
      ...[project, server].map((place) => () => must(process.execPath, [bin('typescript/bin/tsc'), '-p', '.'], { cwd: place })),
      () => commandRun(project, at('data-command')),
      () => compiled(project, at('compiled'), at('data-compiled')),
      ...(await programRuns(project, at('data-npm'))),
      ...(await programRuns(server, at('data-bun'))),
    ])
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  }
})
