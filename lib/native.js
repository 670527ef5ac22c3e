'use strict'

// The addon. Every module takes it from here, so that one that does not load is explained once.

const { loadError } = require('./load-error.js')

function load() {
  try {
    return require('../binding.js')
  } catch (error) {
    throw loadError(error)
  }
}

module.exports = load()
