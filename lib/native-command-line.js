'use strict'

// The addon of the command line. It is in the same place as that of the storage: in the platform's package or in a clone.

const { loadError } = require('./load-error.js')
const { name } = require('../package.json')

/** The endings of the addons' names. On a system with several C libraries, only one of the addons loads. */
const ABIS = { linux: ['-gnu', '-musl'], win32: ['-msvc'] }

function load() {
  const { platform, arch } = process
  let refused
  for (const abi of ABIS[platform] ?? ['']) {
    const machine = `${platform}-${arch}${abi}`
    const file = `octoprompt-storage-cli.${machine}.node`
    for (const place of [`../${file}`, `${name}-${machine}/${file}`]) {
      try {
        return require(place)
      } catch (error) {
        refused = new Error(error.message, { cause: refused })
      }
    }
  }
  throw loadError(new Error('no addon of the command line loads', { cause: refused }))
}

module.exports = load()
