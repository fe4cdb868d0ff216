//! The functions of `libvirt.so.0` that the bench calls.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;

use steadfast::Boot;
use steadfast_bench::Result;

/// `VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG`: the running VM, and what is kept of it.
const LIVE_AND_CONFIG: c_uint = 1 | 2;
/// `VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_DEVICE_MODIFY_FORCE`.
const LIVE_BY_FORCE: c_uint = 1 | 4;
/// `VIR_DOMAIN_START_PAUSED`.
const PAUSED: c_uint = 1;

type Pointer = *mut c_void;

macro_rules! functions {
    ($($field:ident: $name:literal as $type:ty;)+) => {
        struct Functions { $($field: $type),+ }

        impl Functions {
            fn of(library: Pointer) -> std::result::Result<Self, String> {
                $(
                    // SAFETY: the library is open, and stays so.
                    let $field = unsafe { libc::dlsym(library, $name.as_ptr()) };
                    if $field.is_null() {
                        return Err(format!("libvirt.so.0 has no {:?}", $name));
                    }
                )+
                // SAFETY: libvirt promises these signatures for as long as the library has this name.
                Ok(unsafe { Self { $($field: std::mem::transmute::<Pointer, $type>($field)),+ } })
            }
        }
    };
}

type Change = unsafe extern "C" fn(Pointer, *const c_char, c_uint) -> c_int;
type Find = unsafe extern "C" fn(Pointer, *const c_char) -> Pointer;
type End = unsafe extern "C" fn(Pointer) -> c_int;
type OnError = unsafe extern "C" fn(Pointer, Pointer);

functions! {
    open: c"virConnectOpen" as unsafe extern "C" fn(*const c_char) -> Pointer;
    close: c"virConnectClose" as End;
    define: c"virDomainDefineXML" as Find;
    look_up: c"virDomainLookupByName" as Find;
    create: c"virDomainCreateWithFlags" as unsafe extern "C" fn(Pointer, c_uint) -> c_int;
    attach: c"virDomainAttachDeviceFlags" as Change;
    detach: c"virDomainDetachDeviceFlags" as Change;
    update: c"virDomainUpdateDeviceFlags" as Change;
    list: c"virConnectListAllDomains" as unsafe extern "C" fn(Pointer, *mut *mut Pointer, c_uint) -> c_int;
    free: c"virDomainFree" as End;
    last_error: c"virGetLastErrorMessage" as unsafe extern "C" fn() -> *const c_char;
    on_error: c"virSetErrorFunc" as unsafe extern "C" fn(Pointer, Option<OnError>);
}

fn functions() -> Result<&'static Functions> {
    static FUNCTIONS: OnceLock<std::result::Result<Functions, String>> = OnceLock::new();
    FUNCTIONS.get_or_init(load).as_ref().map_err(|missing| missing.as_str().into())
}

fn load() -> std::result::Result<Functions, String> {
    // SAFETY: loading it runs its constructors, which ask nothing of us.
    let library = unsafe { libc::dlopen(c"libvirt.so.0".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return Err("libvirt.so.0 is not installed".to_owned());
    }
    let functions = Functions::of(library)?;
    unsafe extern "C" fn silent(_: Pointer, _: Pointer) {}
    // SAFETY: the callback does nothing with what it is given.
    unsafe { (functions.on_error)(ptr::null_mut(), Some(silent)) };
    Ok(functions)
}

/// What libvirt said of a call of this thread.
fn refused(what: &str, functions: &Functions) -> Box<dyn std::error::Error + Send + Sync> {
    // SAFETY: the text is the thread's own, and is there until its next call.
    let text = unsafe { CStr::from_ptr((functions.last_error)()) };
    format!("libvirt refused to {what}: {}", text.to_string_lossy()).into()
}

/// A connection to a libvirtd.
pub(crate) struct Connection {
    functions: &'static Functions,
    raw: Pointer,
}

impl Connection {
    pub(crate) fn open(uri: &str) -> Result<Self> {
        let (functions, uri) = (functions()?, CString::new(uri)?);
        // SAFETY: the text ends with a zero byte.
        let raw = unsafe { (functions.open)(uri.as_ptr()) };
        if raw.is_null() { Err(refused("connect", functions)) } else { Ok(Self { functions, raw }) }
    }

    /// Records a VM and starts it.
    pub(crate) fn start(&self, xml: &str, boot: Boot) -> Result<()> {
        let xml = CString::new(xml)?;
        // SAFETY: the connection is open, the text ends with a zero byte.
        let raw = unsafe { (self.functions.define)(self.raw, xml.as_ptr()) };
        let domain = self.own(raw, "define")?;
        let flags = if boot == Boot::Paused { PAUSED } else { 0 };
        // SAFETY: the domain is ours until it is dropped.
        domain.done("start", unsafe { (self.functions.create)(domain.raw, flags) })
    }

    pub(crate) fn domain(&self, name: &str) -> Result<Domain<'_>> {
        let name = CString::new(name)?;
        // SAFETY: the connection is open, the text ends with a zero byte.
        let raw = unsafe { (self.functions.look_up)(self.raw, name.as_ptr()) };
        self.own(raw, "find the VM")
    }

    /// How many VMs there are.
    pub(crate) fn count(&self) -> Result<usize> {
        // SAFETY: without a place for the list, libvirt counts.
        let count = unsafe { (self.functions.list)(self.raw, ptr::null_mut(), 0) };
        usize::try_from(count).map_err(|_| refused("list", self.functions))
    }

    fn own(&self, raw: Pointer, what: &str) -> Result<Domain<'_>> {
        if raw.is_null() {
            return Err(refused(what, self.functions));
        }
        Ok(Domain { connection: self, raw })
    }
}

// SAFETY: libvirt serialises the calls on a connection.
unsafe impl Send for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened, and closed once. Its domains borrow it.
        unsafe { (self.functions.close)(self.raw) };
    }
}

/// A VM.
pub(crate) struct Domain<'c> {
    connection: &'c Connection,
    raw: Pointer,
}

impl Domain<'_> {
    pub(crate) fn attach(&self, xml: &str) -> Result<()> {
        self.change("attach", self.connection.functions.attach, xml, LIVE_AND_CONFIG)
    }

    /// Returns when QEMU has let go.
    pub(crate) fn detach(&self, xml: &str) -> Result<()> {
        self.change("detach", self.connection.functions.detach, xml, LIVE_AND_CONFIG)
    }

    /// Changes what a drive holds, against the guest's will.
    pub(crate) fn update(&self, xml: &str) -> Result<()> {
        self.change("update", self.connection.functions.update, xml, LIVE_BY_FORCE)
    }

    fn change(&self, what: &str, function: Change, xml: &str, flags: c_uint) -> Result<()> {
        let xml = CString::new(xml)?;
        // SAFETY: the domain is ours until it is dropped, the text ends with a zero byte.
        self.done(what, unsafe { function(self.raw, xml.as_ptr(), flags) })
    }

    fn done(&self, what: &str, code: c_int) -> Result<()> {
        if code < 0 { Err(refused(what, self.connection.functions)) } else { Ok(()) }
    }
}

impl Drop for Domain<'_> {
    fn drop(&mut self) {
        // SAFETY: one of ours, and freed once.
        unsafe { (self.connection.functions.free)(self.raw) };
    }
}
