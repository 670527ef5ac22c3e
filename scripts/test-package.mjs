// Packs the package as it is published, installs the tarballs into an empty Bun workspace monorepo, and uses the
// package there by name: under Bun and Node, by import and require, and from TypeScript.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { StepError, findAddon, main, root, run } from './setup.mjs'

const bun = join(root, 'node_modules/bun/bin/bun.exe')
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)

async function must(command, args, cwd) {
  const { ok, output } = await run(command, args, { cwd })
  if (!ok) throw new StepError(`${command} ${args.join(' ')}\n${output}`)
  return output
}

/** Packs a directory and gives the name of the tarball. */
async function pack(directory, destination) {
  const before = new Set(readdirSync(destination))
  await must('npm', ['pack', '--silent', '--pack-destination', destination], directory)
  return readdirSync(destination).find((name) => !before.has(name))
}

/** The platform package for this machine: the addon and what `npm/<platform>` says of it. */
function stagePlatform(directory) {
  const addon = findAddon()
  if (!addon) throw new StepError('the addon is not built: run `npm run build`')
  const platform = basename(addon).split('.')[1]
  cpSync(join(root, 'npm', platform), directory, { recursive: true })
  cpSync(addon, join(directory, basename(addon)))
  return `${manifest.name}-${platform}`
}

/** The main package as it is published: the files it lists, and the platform packages as optional dependencies. */
function stageMain(directory, platformPackage) {
  mkdirSync(directory)
  for (const file of manifest.files) cpSync(join(root, file), join(directory, file), { recursive: true })
  const { devDependencies, scripts, allowScripts, ...published } = manifest
  writeJson(join(directory, 'package.json'), {
    ...published,
    optionalDependencies: { [platformPackage]: manifest.version },
  })
}

const body = `
const storage = new ProjectStorageV2({ basePath: process.argv[2] })
const project = await storage.create({ name: 'packed', path: '/packed' })
const file = await storage.addFile(project.id, { name: 'a.ts', path: 'a.ts', content: 'one' })
const version = await storage.createFileVersion(project.id, file.id, 'two')
await storage.close()
const again = new ProjectStorageV2({ basePath: process.argv[2] })
const versions = await again.getFileVersions(project.id, version.id)
if (versions.map(({ content }) => content).join() !== 'one,two') throw new Error('the versions did not come back')
await again.close()
console.log('stored and read')
`

const programs = {
  'main.mjs': `import { ProjectStorageV2 } from '${manifest.name}'\n${body}`,
  'main.cjs': `const { ProjectStorageV2 } = require('${manifest.name}')\nasync function main() {${body}}\nmain()\n`,
  'main.ts': `import { ProjectStorageV2, type Project } from '${manifest.name}'\n${body}
const typed: Project = project
// @ts-expect-error the types of the package are found
const wrong: string = typed.id
export { wrong }
`,
}

/** A monorepo whose one workspace depends on the package. */
function stageMonorepo(directory, tarballs, platformPackage) {
  const server = join(directory, 'packages', 'server')
  mkdirSync(server, { recursive: true })
  writeJson(join(directory, 'package.json'), {
    name: 'monorepo',
    private: true,
    workspaces: ['packages/*'],
    overrides: { [platformPackage]: `file:${tarballs.platform}` },
  })
  writeJson(join(server, 'package.json'), {
    name: 'server',
    private: true,
    type: 'module',
    dependencies: { [manifest.name]: `file:${tarballs.main}` },
  })
  writeJson(join(server, 'tsconfig.json'), {
    compilerOptions: {
      target: 'es2022',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    },
    files: ['main.ts'],
  })
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(server, name), text)
  return server
}

await main(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'octoprompt-package-'))
  try {
    const tarballs = join(directory, 'tarballs')
    mkdirSync(tarballs)
    const platformPackage = stagePlatform(join(directory, 'platform'))
    stageMain(join(directory, 'main'), platformPackage)
    const packed = {
      platform: join(tarballs, await pack(join(directory, 'platform'), tarballs)),
      main: join(tarballs, await pack(join(directory, 'main'), tarballs)),
    }
    const monorepo = join(directory, 'monorepo')
    const server = stageMonorepo(monorepo, packed, platformPackage)
    await must(bun, ['install'], monorepo)
    const runs = [
      [bun, 'main.mjs'],
      [bun, 'main.cjs'],
      [bun, 'main.ts'],
      [process.execPath, 'main.mjs'],
      [process.execPath, 'main.cjs'],
    ]
    for (const [at, [runtime, program]] of runs.entries()) {
      const output = await must(runtime, [program, join(directory, `data${at}`)], server)
      if (!output.includes('stored and read')) throw new StepError(`${runtime} ${program} printed:\n${output}`)
    }
    await must(process.execPath, [tsc, '-p', '.'], server)
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  }
})
