// Programs that use the package by its name.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { transformSync } from 'esbuild'
import { StepError, root } from '../setup.mjs'
import { manifest } from './stage.mjs'

const body = `
const storage = new ProjectStorageV2({ basePath: process.argv[2] })
const project = await storage.create({ name: 'packed', path: '/packed' })
const file = await storage.addFile(project.id, { name: 'a.ts', path: 'a.ts', content: 'one' })
const version = await storage.createFileVersion(project.id, file.id, 'two')
await storage.close()
const again = new ProjectStorageV2({ basePath: process.argv[2] })
const versions = await again.getFileVersions(project.id, version.id)
if (versions.map(({ content }) => content).join() !== 'one,two') throw new Error('the versions did not come back')
const { stack } = await again.create({ name: '', path: '' }).catch((error) => error)
if (/\\b(ProjectStorageV2|ValidationError)\\d/.test(stack)) throw new Error('a class was renamed: ' + stack)
await again.close()
if (again.constructor.name !== 'ProjectStorageV2') throw new Error(again.constructor.name)
console.log('stored and read')
`

/** The programs by file name. The TypeScript one is compiled, and run where TypeScript runs; the last are for the command. */
export const programs = {
  'main.mjs': `import { ProjectStorageV2 } from '${manifest.name}'\n${body}`,
  'main.cjs': `const { ProjectStorageV2 } = require('${manifest.name}')\nasync function main() {${body}}\nmain()\n`,
  'main.mts': `import { ProjectStorageV2, type Project } from '${manifest.name}'\n${body}
const typed: Project = project
// @ts-expect-error the types of the package are found
const wrong: string = typed.id
export { wrong }
`,
  'main.cts': `import storage = require('${manifest.name}')\nconst typed: storage.Project | null = null\nexport = { storage, typed }\n`,
  'migrations.mjs': "export default [{ version: '1.0.0', description: 'Nothing yet', up() {}, down() {} }]\n",
  'refused.mjs': `import { NotFoundError } from '${manifest.name}'\nexport default () => {\n  throw new NotFoundError('nothing')\n}\n`,
}

/** Returns the blocks of the README that are whole programs: those that import the package and close what they open. */
export function readmePrograms() {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const blocks = [...readme.matchAll(/^\`\`\`(js|ts)\n(.*?)^\`\`\`$/gms)]
  const whole = blocks.filter(([, , code]) => code.includes(`from '${manifest.name}'`) && code.includes('.close()'))
  if (whole.length === 0) throw new StepError('the README has no program')
  return whole.map(([, language, code]) => (language === 'ts' ? transformSync(code, { loader: 'ts' }).code : code))
}
