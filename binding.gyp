# SPDX-License-Identifier: MIT
# Sources come from tools/build/sources.cjs; a new file needs a configure (npm run build), no edit here.
{
  'variables': {
    'nf_cflags': [
      '-std=c11', '-D_GNU_SOURCE', '-O2', '-fvisibility=hidden', '-fPIC',
      '-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Wstrict-prototypes',
    ],
    'nf_program': [
      '$(CC)', '-O2', '-std=c11', '-D_GNU_SOURCE', '-pthread', '-fPIC', '-fvisibility=hidden',
      '-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Wstrict-prototypes',
      '-Idrivers/include', '-Idrivers', '-Idrivers/daemon', '-Ibench/c', '-Itest', '-Itest/peer', '-Itest/c',
    ],
    'nf_core_lib': '<(PRODUCT_DIR)/nf_core.a',
  },
  'target_defaults': {
    'default_configuration': 'Release',
    'include_dirs': ['drivers/include'],
    'configurations': { 'Release': { 'cflags!': ['-O3'] } },
  },
  'targets': [
    {
      'target_name': 'nf_core',
      'type': 'static_library',
      'standalone_static_library': 1,
      'sources': ['<!@(node tools/build/sources.cjs core)'],
      'include_dirs': ['drivers'],
      'cflags_c': ['<@(nf_cflags)'],
    },
    {
      'target_name': 'nestfront',
      'dependencies': ['nf_core'],
      'sources': ['<!@(node tools/build/sources.cjs native)'],
      'include_dirs': ['<!(node -e "require(\'nan\')")'],
      'cflags_cc': ['-O2', '-fvisibility=hidden', '-Wall', '-Wextra', '-Wno-cast-function-type'],
    },
    {
      'target_name': 'nf_daemon',
      'type': 'static_library',
      'standalone_static_library': 1,
      'sources': ['<!@(node tools/build/sources.cjs daemon-parts)'],
      'include_dirs': ['drivers', 'drivers/daemon'],
      'cflags_c': ['<@(nf_cflags)'],
    },
    {
      'target_name': 'nf_bench',
      'type': 'static_library',
      'standalone_static_library': 1,
      'sources': ['<!@(node tools/build/sources.cjs bench-parts)'],
      'include_dirs': ['drivers', 'bench/c'],
      'cflags_c': ['<@(nf_cflags)'],
    },
    {
      'target_name': 'nf_test',
      'type': 'static_library',
      'standalone_static_library': 1,
      'sources': ['<!@(node tools/build/sources.cjs test-parts)'],
      'include_dirs': ['drivers', 'test', 'test/peer'],
      'cflags_c': ['<@(nf_cflags)'],
    },
    {
      # what runs in domains: static, so that it runs in any guest
      'target_name': 'daemons',
      'type': 'none',
      'dependencies': ['nf_core', 'nf_daemon'],
      'sources': ['<!@(node tools/build/sources.cjs daemons)'],
      'rules': [{
        'rule_name': 'daemon',
        'extension': 'c',
        'inputs': [
          '<@(nf_core_lib)', '<(PRODUCT_DIR)/nf_daemon.a', '<!@(node tools/build/sources.cjs headers)',
        ],
        'outputs': ['<(PRODUCT_DIR)/<(RULE_INPUT_ROOT)'],
        'message': 'Linking <(RULE_INPUT_ROOT)',
        'action': [
          '<@(nf_program)', '-static', '-o', '<@(_outputs)', '<(RULE_INPUT_PATH)',
          '<(PRODUCT_DIR)/nf_daemon.a', '<(nf_core_lib)',
        ],
      }],
    },
    {
      'target_name': 'benches',
      'type': 'none',
      'dependencies': ['nf_core', 'nf_bench'],
      'sources': ['<!@(node tools/build/sources.cjs benches)'],
      'rules': [{
        'rule_name': 'bench',
        'extension': 'c',
        'inputs': [
          '<@(nf_core_lib)', '<(PRODUCT_DIR)/nf_bench.a', '<!@(node tools/build/sources.cjs headers)',
        ],
        'outputs': ['<(PRODUCT_DIR)/<(RULE_INPUT_ROOT)'],
        'message': 'Linking <(RULE_INPUT_ROOT)',
        'action': [
          '<@(nf_program)', '-static', '-o', '<@(_outputs)', '<(RULE_INPUT_PATH)',
          '<(PRODUCT_DIR)/nf_bench.a', '<(nf_core_lib)',
        ],
      }],
    },
    {
      # empty in the npm package, which ships no tests
      'target_name': 'tests',
      'type': 'none',
      'dependencies': ['nf_core', 'nf_daemon', 'nf_test'],
      'sources': ['<!@(node tools/build/sources.cjs tests)'],
      'rules': [{
        'rule_name': 'test',
        'extension': 'c',
        'inputs': [
          '<@(nf_core_lib)', '<(PRODUCT_DIR)/nf_daemon.a', '<(PRODUCT_DIR)/nf_test.a',
          '<!@(node tools/build/sources.cjs headers)',
        ],
        'outputs': ['<(PRODUCT_DIR)/t/<(RULE_INPUT_ROOT)'],
        'message': 'Linking t/<(RULE_INPUT_ROOT)',
        'action': [
          '<@(nf_program)', '-o', '<@(_outputs)', '<(RULE_INPUT_PATH)',
          '<(PRODUCT_DIR)/nf_test.a', '<(PRODUCT_DIR)/nf_daemon.a', '<(nf_core_lib)',
        ],
      }],
    },
  ],
}
