'use strict'

// The addon. Every module takes it from here, so that one that does not load is explained once.

function load() {
  try {
    return require('../binding.js')
  } catch (error) {
    const { loadError } = require('./load-error.js')
    throw loadError(error)
  }
}

module.exports = load()
