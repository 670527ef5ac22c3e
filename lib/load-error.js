'use strict'

// Why the addon did not load, and what to do about it.

const { readFileSync } = require('node:fs')
const { StorageError } = require('./errors.js')
const { name, version } = require('../package.json')

/** The platforms for which there is a package, named as the packages are. */
const PLATFORMS = [
  'linux-x64-gnu',
  'linux-x64-musl',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
  'win32-arm64-msvc',
]

const AS_EXTERNAL = `In a bundle no addon is found: mark ${name} as external.`

/** The machine that this process runs on. */
function thisMachine() {
  const { platform, arch, versions } = process
  const runtime = versions.bun === undefined ? `Node ${versions.node}` : `Bun ${versions.bun}`
  return { platform, arch, libc: platform === 'linux' ? linuxLibc() : undefined, runtime }
}

/** Returns `{ name, version }` of the C library, as far as they can be found out. */
function linuxLibc() {
  const { header, sharedObjects = [] } = process.report?.getReport() ?? {}
  if (header?.glibcVersionRuntime) return { name: 'glibc', version: header.glibcVersionRuntime }
  if (sharedObjects.some((file) => file.includes('libc.musl-') || file.includes('ld-musl-'))) return { name: 'musl' }
  try {
    return { name: readFileSync('/usr/bin/ldd', 'utf8').includes('musl') ? 'musl' : 'glibc' }
  } catch {
    return { name: 'glibc' }
  }
}

function platformName({ platform, arch, libc }) {
  const abi = { linux: libc?.name === 'musl' ? '-musl' : '-gnu', win32: '-msvc' }[platform] ?? ''
  return `${platform}-${arch}${abi}`
}

/** Returns the messages of the loader's attempts in their order; `thrown` has them as its chain of causes, the last one first. */
function attemptsOf(thrown) {
  const attempts = []
  for (let at = thrown?.cause; at instanceof Error; at = at.cause) attempts.unshift(at.message)
  return attempts
}

/**
 * Returns the error to throw in place of the loader's. Its cause lists the attempts: a chain of errors would be printed in
 * pages, by Bun twice as many for each link.
 */
function loadError(thrown, machine = thisMachine()) {
  const attempts = attemptsOf(thrown)
  const cause = attempts.length === 0 ? thrown : new Error(['Tried:', ...attempts.map(firstLine)].join('\n- '))
  return errorOn(machine, advice(attempts, platformName(machine)), { cause })
}

/** Returns the error to throw if a bundler, told to copy the addon, put the path of the copy in its place. */
const replacedError = () => errorOn(thisMachine(), `A bundler put something else in its place. ${AS_EXTERNAL}`)

function errorOn(machine, advice, options) {
  const platform = platformName(machine)
  const libc = machine.libc && [machine.libc.name, machine.libc.version].filter(Boolean).join(' ')
  const where = [platform, libc, machine.runtime].filter(Boolean).join(', ')
  const error = new StorageError(`${name} has no addon for this machine (${where}). ${advice}`, 'ADDON_NOT_LOADED', options)
  return Object.assign(error, { platform })
}

function advice(attempts, platform) {
  if (!PLATFORMS.includes(platform)) {
    return `There are addons for ${PLATFORMS.join(', ')}; on other machines build it from source with Rust: npm run build.`
  }
  if (attempts.some((message) => message.startsWith('No such built-in module'))) {
    return (
      'The `require` of a single executable application loads no files: load the package with ' +
      "require('node:module').createRequire(process.execPath), from the node_modules beside the executable."
    )
  }
  // The loader passes on only the messages of its attempts. An attempt that found a file says why the system refused it.
  const refused = attempts.find((message) => !/^Cannot find (module|package)\b/.test(message))
  if (refused !== undefined) return `It is installed, but the system refuses to load it: ${firstLine(refused)}${hint(refused)}`
  return (
    `The package ${name}-${platform}@${version}, an optional dependency, is not installed. Usual reasons: the dependencies were installed ` +
    'on another machine and copied here (also into an image), with --omit=optional, or from a lock file that was made on another ' +
    `platform. Remove node_modules, and the lock file if need be, and install again on this machine. ${AS_EXTERNAL}`
  )
}

const firstLine = (text) => text.trim().split('\n', 1)[0]

function hint(message) {
  if (/GLIBC_[\d.]+/.test(message)) return ' Use a newer Linux, or an image with musl (Alpine).'
  if (/ld-musl|libc\.musl/.test(message)) return ' It was built for musl and this is glibc: install again on this machine.'
  if (/wrong ELF class|invalid ELF header|incompatible architecture|not a valid Win32/.test(message)) {
    return ' It was built for another machine: remove node_modules and install again on this one.'
  }
  if (/loading addons is disabled/.test(message)) return ' Start Node without --no-addons, or beside --permission with --allow-addons.'
  return ''
}

module.exports = { PLATFORMS, loadError, replacedError }
